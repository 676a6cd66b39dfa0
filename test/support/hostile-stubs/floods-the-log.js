export default function activate(url, bus, { runtimeURL }) {
  setTimeout(() => {
    for (let n = 0; n < 2000; n++) console.log('noise\nwarn forged: line', n, { deep: { deeper: [n] } });
    console.log('x'.repeat(1e6));
    bus.postMessage({ id: 'done', type: 'update', from: url, to: runtimeURL });
  }, 10);
  return { name: 'floods-the-log', instance: {} };
}
