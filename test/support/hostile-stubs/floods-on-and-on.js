/** Sends messages of its own endlessly, as fast as the bus allows. */
export default function activate(url, bus, { runtimeURL }) {
  (async () => { for (;;) await Promise.all(Array.from({ length: 1000 }, () => bus.postMessage({ type: 'update', from: url, to: `${runtimeURL}/registry`, body: { value: 'noise' } }))); })();
  return { name: 'floods-on-and-on', instance: {} };
}
