/**
 * The common part of both P2P stubs: the controller of one connection, its signalling through Connection
 * objects, and the framings of its data channel. The stubs decide which connections exist.
 */
export { ConnectionController, chooseFraming, type ConnectionEnd, type ControllerComponents, type ControllerInit, type LiveDetails } from './controller.js';
export type { Framing, FramingComponents, Log } from './framing.js';
export { iceServersIn } from './ice.js';
export { HealthMonitor, nextHealth, type Health, type HealthEvent, type HealthLimits, type HealthReport } from './health.js';
export { ProtoflyFraming } from './protofly-framing.js';
export { RethinkFraming } from './rethink-framing.js';
export { answerUnsent, commandOf, healthFields, patienceOf, reportTo, type Report } from './reports.js';
export { connectionSchema, Signalling } from './signalling.js';
