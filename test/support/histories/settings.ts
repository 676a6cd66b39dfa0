import { parseAddress, type Address } from '../../../src/protocol/index.js';

export type RuntimeName = 'a' | 'a2' | 'b' | 'c';
export type PartyName = RuntimeName | 'node';

/** Bounds of the parts of every runtime and of the domain. Absent: as in production. */
export interface Limits {
  readonly inboxMessages?: number;
  readonly inboxBytes?: number;
  readonly inboxStalled?: number;
  readonly inboxStallMs?: number;
  /** How many streams of one sender a receiver remembers. */
  readonly streams?: number;
  readonly outboxMessages?: number;
  readonly outboxBytes?: number;
  readonly outboxPerPair?: number;
  readonly outboxUnderWay?: number;
  /** Of what is in flight, in bytes. */
  readonly window?: number;
  readonly mailPerReceiver?: number;
  readonly mailBytes?: number;
  readonly mailRetryMs?: number;
  /** How many messages may be on a lane before its senders are to wait. */
  readonly laneRoom?: number;
}

/** A world as it is before anything happens. */
export interface Settings {
  readonly runtimes: readonly RuntimeName[];
  /** Runtime a2 sends in the name of a's hyperty. */
  readonly twins: boolean;
  /** Routes are looked up: they come later, as a promise. */
  readonly asks: boolean;
  /** A node that loses a connection keeps what was on it for the next one. */
  readonly reclaims: boolean;
  /** A runtime that loses its connection refuses what was on it, rather than saying nothing. */
  readonly abandons: boolean;
  readonly limits: Limits;
}

export const PLAIN: Settings = { runtimes: ['a', 'b'], twins: false, asks: false, reclaims: false, abandons: false, limits: {} };

const HOSTS = { a: 'alice', a2: 'ann', b: 'bob', c: 'carol' } as const;

/** The hyperty of a runtime. */
export const addressOf = (name: RuntimeName, { twins }: Pick<Settings, 'twins'>): Address =>
  parseAddress(`hyperty://example.com/${HOSTS[name === 'a2' && twins ? 'a' : name]}`);

/** Undefined fields are left out. */
export const given = <T extends object>(fields: { [K in keyof T]: T[K] | undefined }): Partial<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
