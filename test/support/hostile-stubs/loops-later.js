export default function activate() {
  setTimeout(() => { for (;;); }, 10);
  return { name: 'loops-later', instance: {} };
}
