/** Carries messages endlessly, at the pace of the bus. That is allowed, but others must get their turn. */
export default function activate(_url, bus, { carriedFrom, carriedTo }) {
  let on = true;
  (async () => { while (on) { for (let n = 0; n < 100; n++) { const pressure = bus.postMessage({ type: 'update', from: carriedFrom, to: carriedTo, body: { value: 'x'.repeat(100) } }); if (pressure) await pressure; } await new Promise((go) => setTimeout(go, 0)); } })();
  return { name: 'carries-without-end', instance: { close: () => { on = false; } } };
}
