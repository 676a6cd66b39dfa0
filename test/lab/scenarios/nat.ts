import type { Scenario } from '../scenario.js';

const burst = { count: 10_000, spanMs: 1000 } as const;
const calm = 3000;

/** Combinations of NATs, and the path that each allows. */
export const NAT: readonly Scenario[] = [
  { name: 'nat-none', what: 'no NAT', a: { nat: 'none' }, b: { nat: 'none' }, traffic: burst, both: true, path: 'direct', standStillMs: calm, doctor: 'DIRECT_OK' },
  { name: 'nat-restricted', what: 'both behind port-restricted NATs', a: { nat: 'port-restricted' }, b: { nat: 'port-restricted' }, traffic: burst, both: true, path: 'direct', standStillMs: calm, doctor: 'DIRECT_OK', quick: true },
  { name: 'nat-symmetric-none', what: 'one behind a symmetric NAT, the other without', a: { nat: 'symmetric' }, b: { nat: 'none' }, traffic: burst, path: 'direct', standStillMs: calm, doctor: 'DIRECT_OK' },
  { name: 'nat-symmetric-restricted', what: 'symmetric and port-restricted: no direct way', a: { nat: 'symmetric' }, b: { nat: 'port-restricted' }, traffic: burst, path: 'msg-node', standStillMs: calm, doctor: 'TURN_NEEDED' },
  { name: 'nat-symmetric', what: 'both behind symmetric NATs', a: { nat: 'symmetric' }, b: { nat: 'symmetric' }, traffic: burst, both: true, path: 'msg-node', standStillMs: calm, doctor: 'NAT_HARD_BOTH', quick: true },
  { name: 'nat-symmetric-turn', what: 'both behind symmetric NATs, with a relay', a: { nat: 'symmetric' }, b: { nat: 'symmetric' }, turn: true, traffic: burst, both: true, path: 'relay', standStillMs: calm, doctor: 'RELAY_OK', quick: true },
  { name: 'nat-udp-blocked', what: 'no UDP leaves one site', a: { nat: 'port-restricted', udp: false }, b: { nat: 'none' }, traffic: burst, path: 'msg-node', standStillMs: calm, doctor: 'UDP_BLOCKED' },
];
