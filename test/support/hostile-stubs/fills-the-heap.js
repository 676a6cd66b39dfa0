export default function activate() {
  const kept = [];
  setInterval(() => { for (let n = 0; n < 200_000; n++) kept.push({ n, next: [n, n, n, n, n, n] }); }, 1);
  return { name: 'fills-the-heap', instance: {} };
}
