/** Sends a million messages that it claims to carry at once, ignoring backpressure. */
export default function activate(_url, bus, { carriedFrom, carriedTo }) {
  setTimeout(() => { for (let n = 0; n < 1e6; n++) void bus.postMessage({ type: 'update', from: carriedFrom, to: carriedTo, body: { value: `noise ${n}`.padEnd(100) } }); }, 10);
  return { name: 'floods-as-carrier', instance: {} };
}
