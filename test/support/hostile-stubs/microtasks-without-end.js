export default function activate() {
  const again = () => { queueMicrotask(again); };
  setTimeout(again, 10);
  return { name: 'microtasks-without-end', instance: {} };
}
