import {
  child, isResponse, isWithin, ProtoflyError, refuse,
  type Address, type Body, type Message, type Request, type StubBus, type StubStatus,
} from '../../protocol/index.js';
import type { Log } from './framing.js';
import type { HealthReport } from './health.js';

export type Report = (value: StubStatus, fields?: Body) => void;

/** Reports the status of a stub, or of one of its connections, to `<stub>/status`. */
export const reportTo = (bus: StubBus, stub: Address): Report => (value, fields = {}) => {
  void bus.postMessage({ type: 'update', from: stub, to: child(stub, 'status'), body: { ...fields, value } });
};

/** Returns the fields of a health report for a live connection. */
export const healthFields = ({ reason, ...details }: HealthReport): Body => ({ details, ...(reason === undefined ? {} : { description: reason }) });

/** Returns a command from the stub's own runtime. Refuses commands from any other sender. */
export const commandOf = (bus: StubBus, runtime: Address, message: Message): Request | undefined => {
  if (message.type !== 'execute') return undefined;
  if (isWithin(message.from, runtime)) return message;
  void bus.postMessage(refuse(message, new ProtoflyError('E_REFUSED', 'a P2P stub takes commands from its own runtime alone')));
  return undefined;
};

/** Default time for the other side of a doubted connection to answer, in milliseconds. */
const PROBE_MS = 500;

/** Returns the patience in a probe request, in milliseconds. */
export const patienceOf = (value: unknown): number => {
  const patienceMs = (value as { readonly patienceMs?: unknown } | undefined)?.patienceMs;
  return typeof patienceMs === 'number' && patienceMs >= 1 ? patienceMs : PROBE_MS;
};

/** Refuses a message that couldn't be carried; drops a response. */
export const answerUnsent = (bus: StubBus, log: Log, message: Message, reason: string): void => {
  if (isResponse(message)) log('info', `dropped a response to ${message.to}: ${reason}`);
  else void bus.postMessage(refuse(message, new ProtoflyError('E_UNREACHABLE', `not sent: ${reason}`)));
};
