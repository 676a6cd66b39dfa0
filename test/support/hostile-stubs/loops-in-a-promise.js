// The interpreter rejects the promise of a function that it interrupts. Then nothing is left to be run.
export default function activate() {
  setTimeout(async () => {
    await undefined;
    for (;;);
  }, 10);
  return { name: 'loops-in-a-promise', instance: {} };
}
