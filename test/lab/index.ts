/**
 * The fault lab: real runtimes, a real domain server and a real TURN server, each in a network namespace of its
 * own behind routers with NAT. Something breaks while numbered messages flow. The lab counts lost, repeated and
 * reordered messages, and how long traffic stood still. It is no benchmark and no unit test: it needs Linux,
 * root and some minutes. It doesn't touch the machine's own interfaces, routes or rules.
 */
export { LabMissing, leftovers, requireLab } from './namespaces.js';
export { runScenario, type Result } from './runner.js';
export type { Scenario } from './scenario.js';
export { SCENARIOS } from './scenarios/index.js';
