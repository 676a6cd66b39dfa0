import {
  child, isResponse, isWithin, ProtoflyError, refuse,
  type Address, type Body, type Message, type Request, type StubBus, type StubStatus,
} from '../../protocol/index.js';
import type { Log } from './framing.js';
import type { HealthReport } from './health.js';

export type Report = (value: StubStatus, fields?: Body) => void;

/** Reports a stub's state, or that of one of its connections, to `<stub>/status`. */
export const reportTo = (bus: StubBus, stub: Address): Report => (value, fields = {}) => {
  void bus.postMessage({ type: 'update', from: stub, to: child(stub, 'status'), body: { ...fields, value } });
};

/** What a report of a live connection says of its health. */
export const healthFields = ({ reason, ...details }: HealthReport): Body => ({ details, ...(reason === undefined ? {} : { description: reason }) });

/** What the own runtime asks of a stub; the same from anybody else is refused. */
export const commandOf = (bus: StubBus, runtime: Address, message: Message): Request | undefined => {
  if (message.type !== 'execute') return undefined;
  if (isWithin(message.from, runtime)) return message;
  void bus.postMessage(refuse(message, new ProtoflyError('E_REFUSED', 'a P2P stub takes commands from its own runtime alone')));
  return undefined;
};

/** How long the other side of a doubted connection may take for a sign of life, in milliseconds, unless the runtime says. */
const PROBE_MS = 500;

/** The patience that a request to probe asks for. */
export const patienceOf = (value: unknown): number => {
  const patienceMs = (value as { readonly patienceMs?: unknown } | undefined)?.patienceMs;
  return typeof patienceMs === 'number' && patienceMs >= 1 ? patienceMs : PROBE_MS;
};

/** Tells the sender of a message that it couldn't be carried; a response is dropped. */
export const answerUnsent = (bus: StubBus, log: Log, message: Message, reason: string): void => {
  if (isResponse(message)) log('info', `dropped a response to ${message.to}: ${reason}`);
  else void bus.postMessage(refuse(message, new ProtoflyError('E_UNREACHABLE', `not sent: ${reason}`)));
};
