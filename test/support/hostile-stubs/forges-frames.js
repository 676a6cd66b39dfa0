/** Makes the pipe carry a text of its own instead of a message, with a second frame for another channel in it. */
export default function activate(url, bus, { runtimeURL }) {
  const text = Symbol.for('protofly.text');
  const inner = JSON.stringify({ id: 1, type: 'ping', from: url, to: runtimeURL });
  for (const channel of [1, 2, 3, -1]) void bus.postMessage({ id: 1, type: 'ping', from: url, to: url, [text]: `${inner}\nm ${channel} ${inner}` });
  return { name: 'forges-frames', instance: {} };
}
