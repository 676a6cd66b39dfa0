import type { Scenario } from '../scenario.js';

const a = { nat: 'port-restricted' } as const;
const b = { nat: 'port-restricted' } as const;
/** 10 MB: more than all the buffers along the network path. */
const bulky = { count: 10_000, spanMs: 1000, padding: 1024, restMs: 25 } as const;

/** The receiver is slow. */
export const FLOW: readonly Scenario[] = [
  { name: 'flow-slow', what: 'a slow reader', a, b, traffic: bulky, path: 'direct', standStillMs: 5000 },
  { name: 'flow-slow-node', what: 'a slow reader, through the message node', a: { ...a, udp: false }, b, traffic: bulky, path: 'msg-node', standStillMs: 5000 },
];
