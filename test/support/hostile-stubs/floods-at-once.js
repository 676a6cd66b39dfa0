/** Sends a million messages of its own at once, ignoring backpressure. */
export default function activate(url, bus, { runtimeURL }) {
  setTimeout(() => { for (let n = 0; n < 1e6; n++) void bus.postMessage({ type: 'update', from: url, to: `${runtimeURL}/registry`, body: { value: `noise ${n}`.padEnd(100) } }); }, 10);
  return { name: 'floods-at-once', instance: {} };
}
