/** Sends messages with forged senders. */
export default function activate(_url, bus, { forgedFrom, carriedTo }) {
  setInterval(() => { for (let n = 0; n < 20; n++) void bus.postMessage({ type: 'update', from: forgedFrom, to: carriedTo, body: { value: 'forged' } }); }, 5);
  return { name: 'forges-senders', instance: {} };
}
