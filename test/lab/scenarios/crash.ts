import type { Scenario } from '../scenario.js';

const a = { nat: 'port-restricted' } as const;
const b = { nat: 'port-restricted' } as const;
const steady = { count: 10_000, spanMs: 8000 } as const;

/** A process is killed or restarted while messages flow. */
export const CRASH: readonly Scenario[] = [
  { name: 'crash-sandbox-sender', what: 'kill -9 of the sender\'s P2P sandbox', a, b, traffic: steady, both: true, path: 'direct', fault: { kind: 'kill-sandbox', side: 'a', stub: 'p2p-handler' }, standStillMs: 3000 },
  { name: 'crash-sandbox-receiver', what: 'kill -9 of the receiver\'s P2P sandbox', a, b, traffic: steady, path: 'direct', fault: { kind: 'kill-sandbox', side: 'b', stub: 'p2p-handler' }, standStillMs: 5000 },
  { name: 'crash-sandbox-node', what: 'kill -9 of the sandbox of the message-node stub, without P2P', a: { ...a, udp: false }, b, traffic: steady, path: 'msg-node', fault: { kind: 'kill-sandbox', side: 'a', stub: 'msg-node' }, standStillMs: 5000 },
  { name: 'crash-runtime-receiver', what: 'kill -9 of the receiving runtime, started again after a second', a, b, traffic: steady, path: 'direct', fault: { kind: 'kill-runtime', side: 'b', ms: 1000 }, mayRepeat: 100, standStillMs: 15_000, quick: true },
  { name: 'crash-runtime-sender', what: 'kill -9 of the sending runtime; the sender sends again what it has no receipt for', a, b, traffic: { ...steady, retry: true }, path: 'direct', fault: { kind: 'kill-runtime', side: 'a', ms: 1000 }, standStillMs: 15_000 },
  { name: 'crash-domain-direct', what: 'kill -9 of the domain server while messages go directly', a, b, traffic: steady, both: true, path: 'direct', fault: { kind: 'kill-domain', ms: 2000 }, standStillMs: 1000 },
  { name: 'crash-domain', what: 'kill -9 of the domain server while messages go through it', a: { ...a, udp: false }, b, traffic: steady, both: true, path: 'msg-node', fault: { kind: 'kill-domain', ms: 2000 }, standStillMs: 20_000, quick: true },
  { name: 'restart-domain', what: 'the domain server is restarted while messages go through it', a: { ...a, udp: false }, b, traffic: steady, both: true, path: 'msg-node', fault: { kind: 'restart-domain', ms: 2000 }, standStillMs: 20_000 },
  { name: 'crash-stored', what: 'kill -9 of the domain server, then of the runtime that keeps on disk what is sent meanwhile', a: { ...a, udp: false }, b, traffic: { count: 4000, spanMs: 8000, store: true, retry: true }, path: 'msg-node', fault: { kind: 'blackout', side: 'a', ms: 2000 }, standStillMs: 20_000, quick: true },
];
