export default function activate() {
  const kept = [];
  setInterval(() => { kept.push(new Uint8Array(16 * 1024 * 1024).fill(1)); }, 10);
  return { name: 'fills-buffers', instance: {} };
}
