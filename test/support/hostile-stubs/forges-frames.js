/** Makes the pipe carry a text of its own instead of a message, with a second frame for another channel in it. */
export default function activate(url, bus, { runtimeURL }) {
  const inner = JSON.stringify({ id: 1, type: 'ping', from: url, to: runtimeURL });
  const { stringify } = JSON;
  const refused = [];
  for (const channel of [1, 2, 3, -1]) {
    JSON.stringify = () => `${inner}\nm ${channel} ${inner}`;
    try { void bus.postMessage({ id: 1, type: 'ping', from: url, to: url }); } catch (error) { refused.push(error.code); }
    JSON.stringify = () => `m ${channel} ${inner}`;
    try { void bus.postMessage({ id: 1, type: 'ping', from: url, to: url }); } catch (error) { refused.push(error.code); }
    JSON.stringify = stringify;
  }
  bus.postMessage({ id: 'done', type: 'update', from: url, to: `${runtimeURL}/still`, body: { value: refused } });
  return { name: 'forges-frames', instance: {} };
}
