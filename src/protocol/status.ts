/**
 * The state machines that are reported over the wire: one union and one transition table each. An event that
 * the table doesn't allow has no effect and is logged; in tests it is an error.
 */

/** Status of a protostub, as it reports it to `<stub>/status`. */
export type StubStatus = 'created' | 'in-progress' | 'live' | 'failed' | 'disconnected';

/** Status of a P2P connection. An `ended` connection leaves the registry's list. */
export type ConnectionStatus = StubStatus | 'ended';

/** Status of a record in a domain registry. */
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

/** Returns the next state, or undefined if the table has no such transition. Staying in a state is no transition. */
export const nextStubStatus = (now: StubStatus, event: StubStatus): StubStatus | undefined => (STUB[now].includes(event) ? event : undefined);

/** @see docs/protocol.md, "State machine of a P2P connection" */
export const nextConnectionStatus = (now: ConnectionStatus, event: ConnectionStatus): ConnectionStatus | undefined =>
  CONNECTION[now].includes(event) ? event : undefined;
