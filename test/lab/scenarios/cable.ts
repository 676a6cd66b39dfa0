import type { Scenario } from '../scenario.js';

const a = { nat: 'port-restricted' } as const;
const b = { nat: 'port-restricted' } as const;
const steady = { count: 10_000, spanMs: 8000 } as const;

/** The network breaks while messages flow. */
export const CABLE: readonly Scenario[] = [
  { name: 'cable-1s', what: 'a cable is out for a second', a, b, traffic: steady, path: 'direct', fault: { kind: 'cut', side: 'a', ms: 1000 }, standStillMs: 4000 },
  { name: 'cable-10s', what: 'a cable is out for 10 s', a, b, traffic: steady, both: true, path: 'direct', fault: { kind: 'cut', side: 'a', ms: 10_000 }, standStillMs: 20_000 },
  { name: 'cable-60s', what: 'a cable is out for a minute', a, b, traffic: steady, path: 'direct', fault: { kind: 'cut', side: 'a', ms: 60_000 }, standStillMs: 75_000, healMs: 60_000 },
  { name: 'cable-60s-stored', what: 'the same; what can\'t be delivered is kept', a, b, traffic: { count: 3000, spanMs: 60_000, store: true }, path: 'direct', fault: { kind: 'cut', side: 'a', ms: 60_000 }, standStillMs: 12_000, healMs: 60_000 },
  { name: 'cable-30s-stored', what: 'the receiver\'s cable is out for 30 s; what can\'t be delivered is kept', a, b, traffic: { count: 900, spanMs: 30_000, store: true }, path: 'direct', fault: { kind: 'cut', side: 'b', ms: 30_000 }, standStillMs: 60_000, healMs: 60_000 },
  { name: 'cable-address', what: 'a host changes its address', a, b, traffic: steady, both: true, path: 'direct', fault: { kind: 'readdress', side: 'a' }, standStillMs: 20_000 },
  { name: 'cable-udp', what: 'only UDP is lost, for 15 s', a, b, traffic: { count: 10_000, spanMs: 20_000 }, both: true, path: 'direct', fault: { kind: 'block-udp', side: 'a', ms: 15_000 }, standStillMs: 4000, healMs: 60_000, quick: true },
  { name: 'cable-bad', what: '5 % loss and 50 ms each way', a: { ...a, wire: { delayMs: 50, loss: 0.05 } }, b, traffic: { count: 4000, spanMs: 3000 }, path: 'direct', standStillMs: 5000 },
  { name: 'cable-awful', what: '30 % loss and 100 ms each way, for 20 s', a: { ...a, wire: { delayMs: 0, loss: 0 } }, b, traffic: { count: 4000, spanMs: 4000 }, path: 'direct', fault: { kind: 'worsen', side: 'a', ms: 20_000, delayMs: 100, loss: 0.3 }, standStillMs: 15_000 },
];
