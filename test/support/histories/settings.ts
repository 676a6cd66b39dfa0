import { parseAddress, type Address } from '../../../src/protocol/index.js';

export type RuntimeName = 'a' | 'a2' | 'b' | 'c';
export type PartyName = RuntimeName | 'node';

/** Limits of each runtime's parts and of the domain's. Absent: as in production. */
export interface Limits {
  readonly inboxMessages?: number;
  readonly inboxBytes?: number;
  readonly inboxStalled?: number;
  readonly inboxStallMs?: number;
  /** Number of one sender's flows that a receiver remembers. */
  readonly streams?: number;
  readonly outboxMessages?: number;
  readonly outboxBytes?: number;
  readonly outboxPerPair?: number;
  readonly outboxUnderWay?: number;
  /** Maximum in flight, in bytes. */
  readonly window?: number;
  readonly mailPerReceiver?: number;
  readonly mailBytes?: number;
  readonly mailRetryMs?: number;
  /** Number of messages on a lane above which its senders get backpressure. */
  readonly laneRoom?: number;
}

/** The initial state of a world. */
export interface Settings {
  readonly runtimes: readonly RuntimeName[];
  /** True if runtime a2 sends in the name of a's hyperty. */
  readonly twins: boolean;
  /** True if routes are looked up, so that they come later as a promise. */
  readonly asks: boolean;
  /** True if a node that loses a connection keeps the messages in flight for the next one. */
  readonly reclaims: boolean;
  /** True if a runtime that loses its connection refuses the messages in flight on it, rather than saying nothing. */
  readonly abandons: boolean;
  readonly limits: Limits;
}

export const PLAIN: Settings = { runtimes: ['a', 'b'], twins: false, asks: false, reclaims: false, abandons: false, limits: {} };

const HOSTS = { a: 'alice', a2: 'ann', b: 'bob', c: 'carol' } as const;

/** Returns the address of a runtime's hyperty. */
export const addressOf = (name: RuntimeName, { twins }: Pick<Settings, 'twins'>): Address =>
  parseAddress(`hyperty://example.com/${HOSTS[name === 'a2' && twins ? 'a' : name]}`);

/** Leaves out undefined fields. */
export const given = <T extends object>(fields: { [K in keyof T]: T[K] | undefined }): Partial<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
