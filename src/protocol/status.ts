/**
 * The state machines that are reported over the wire: one union and one transition table each.
 * An event that its table doesn't allow is a no-op that is logged (and an error in tests).
 */

/** A protostub, as it reports itself to `<stub>/status`. */
export type StubStatus = 'created' | 'in-progress' | 'live' | 'failed' | 'disconnected';

/** A P2P connection; `ended` is the state in which it leaves the registry's list. */
export type ConnectionStatus = StubStatus | 'ended';

/** A record in a domain registry. */
export type RecordStatus = 'created' | 'live' | 'disconnected' | 'dead';

const STUB: Readonly<Record<StubStatus, readonly StubStatus[]>> = {
  created: ['in-progress', 'live', 'failed', 'disconnected'],
  'in-progress': ['live', 'failed', 'disconnected'],
  live: ['disconnected', 'failed', 'in-progress'],
  failed: ['in-progress', 'created', 'live', 'disconnected'],
  disconnected: ['in-progress', 'live', 'failed', 'created'],
};

const CONNECTION: Readonly<Record<ConnectionStatus, readonly ConnectionStatus[]>> = {
  created: ['in-progress', 'failed'],
  'in-progress': ['live', 'failed'],
  live: ['disconnected'],
  disconnected: ['live', 'ended'],
  failed: ['ended'],
  ended: [],
};

const STUB_STATUSES: ReadonlySet<unknown> = new Set(Object.keys(STUB));
export const isStubStatus = (value: unknown): value is StubStatus => STUB_STATUSES.has(value);

const RECORD_STATUSES: ReadonlySet<unknown> = new Set<RecordStatus>(['created', 'live', 'disconnected', 'dead']);
export const isRecordStatus = (value: unknown): value is RecordStatus => RECORD_STATUSES.has(value);

/** The state after `event`, or undefined where the machine has no such arrow. Staying where one is isn't an arrow. */
export const nextStubStatus = (now: StubStatus, event: StubStatus): StubStatus | undefined => (STUB[now].includes(event) ? event : undefined);

/** @see docs/protocol.md, "State machine of a P2P connection" */
export const nextConnectionStatus = (now: ConnectionStatus, event: ConnectionStatus): ConnectionStatus | undefined =>
  CONNECTION[now].includes(event) ? event : undefined;
