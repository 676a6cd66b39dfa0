import { pauseAfter } from '../../kit/backoff.js';
import type { Address, Clock } from '../../protocol/index.js';
import type { ConnectionChange, ConnectionList } from './connection-list.js';
import type { P2pConnection } from './p2p-connection.js';

export interface ProbationComponents {
  readonly clock: Clock;
  readonly list: Pick<ConnectionList, 'current' | 'doubt' | 'live' | 'suspect'>;
  /** Pings a runtime by the given path. @returns true if the answer confirms that path. Never rejects */
  readonly ping: (remoteRuntime: Address, path: 'p2p' | 'msg-node') => Promise<boolean>;
}

export interface ProbationInit {
  /** Maximum number of remembered runtimes. @default 10_000 */
  readonly maxRemembered?: number;
}

/** The state of the connections with one runtime. */
interface Term {
  /** The reason to doubt them; undefined if there is none. */
  why: string | undefined;
  /** Number of doubts and unanswered pings in a row. */
  failures: number;
  /** Earliest time of the next ping, in steady time. */
  notBefore: number;
  /** Time of the last doubt, in steady time. */
  doubtedAt: number;
  isPinging: boolean;
  /** The connection that was last pinged, with its generation. */
  pinged: string | undefined;
}

/** Pauses after unanswered pings, in milliseconds. They double from the first to the longest. */
const BACKOFF = { firstMs: 1000, maxMs: 300_000 } as const;
/** Time without doubt after which pauses start from the shortest again, in milliseconds. */
const STEADY_MS = 600_000;

/** Reasons to doubt a connection. */
const ACKNOWLEDGES_NOTHING = 'acknowledges nothing, though the message node does';
const ANSWERS_NOTHING = 'answers nothing, though the message node does';

/**
 * Detects live connections that lose messages. Such a connection carries no messages until the other runtime answers a
 * ping over it. The same holds for new connections with that runtime (docs/protocol.md, P2P-16).
 */
export class Probation {
  readonly #components: ProbationComponents;
  readonly #init: Required<ProbationInit>;
  readonly #terms = new Map<Address, Term>();

  constructor(components: ProbationComponents, init: ProbationInit = {}) {
    this.#components = components;
    this.#init = { maxRemembered: 10_000, ...init };
  }

  /**
   * Doubts a connection that brought no receipt for a message that arrived by another path. The first ping follows at
   * once.
   */
  acknowledgesNothing(connection: P2pConnection): void {
    this.#begin(connection, ACKNOWLEDGES_NOTHING);
  }

  /** Handles every change of every connection. */
  changed({ connection, now }: ConnectionChange): void {
    if (now === 'created') connection.onSilence = () => { void this.#check(connection); };
    const term = this.#terms.get(connection.remoteRuntime);
    if (term?.why === undefined) return;
    if (now === 'created') this.#components.list.doubt(connection, term.why);
    // Another connection, or a new generation, may be better.
    if (now === 'live' && term.pinged !== nameOf(connection)) void this.#retry(connection.remoteRuntime, term);
  }

  /** Notes that a message to a runtime takes another route because no connection carries. */
  missed(remoteRuntime: Address): void {
    const term = this.#terms.get(remoteRuntime);
    if (term?.why === undefined) return;
    const { clock, list } = this.#components;
    const suspect = list.suspect(remoteRuntime);
    if (suspect === undefined) return;
    suspect.usedAt = clock.now();
    if (clock.now() >= term.notBefore || term.pinged !== nameOf(suspect)) void this.#retry(remoteRuntime, term);
  }

  #begin(connection: P2pConnection, why: string): void {
    if (connection.status !== 'live' || connection.doubt !== undefined) return;
    const { clock, list } = this.#components;
    const { remoteRuntime } = connection;
    const term = this.#term(remoteRuntime);
    if (clock.now() - term.doubtedAt >= STEADY_MS) term.failures = 0;
    term.why = why;
    term.doubtedAt = clock.now();
    term.pinged = nameOf(connection);
    this.#pause(term);
    list.doubt(connection, why);
    this.missed(remoteRuntime);
  }

  /**
   * Checks a connection that sends but receives nothing. If a ping over it fails, but one through the message node
   * succeeds, it is doubted.
   */
  async #check(connection: P2pConnection): Promise<void> {
    const { clock, list, ping } = this.#components;
    const { remoteRuntime } = connection;
    const term = this.#term(remoteRuntime);
    if (term.isPinging || clock.now() < term.notBefore || list.live(remoteRuntime) !== connection) return;
    term.isPinging = true;
    const isGood = await ping(remoteRuntime, 'p2p');
    const isLost = !isGood && await ping(remoteRuntime, 'msg-node');
    term.isPinging = false;
    if (isLost) this.#begin(connection, ANSWERS_NOTHING);
    // Not every runtime answers pings.
    else if (!isGood) this.#pause(term);
  }

  /** Pings over a doubted connection. */
  async #retry(remoteRuntime: Address, term: Term): Promise<void> {
    const { list, ping } = this.#components;
    const connection = list.suspect(remoteRuntime);
    if (term.isPinging || connection === undefined || list.live(remoteRuntime) !== undefined) return;
    term.isPinging = true;
    term.pinged = nameOf(connection);
    const isGood = await ping(remoteRuntime, 'p2p');
    term.isPinging = false;
    if (isGood) this.#clear(connection, term);
    else this.#pause(term);
    // Another connection may have come meanwhile.
    const next = list.suspect(remoteRuntime);
    if (next !== undefined) this.changed({ connection: next, was: 'live', now: 'live', reason: undefined });
  }

  /** Clears the doubt about all connections with a runtime, because one has proved good. */
  #clear(connection: P2pConnection, term: Term): void {
    const { list } = this.#components;
    term.why = undefined;
    list.doubt(connection, undefined);
    for (const other of list.current(connection.remoteRuntime)) list.doubt(other, undefined);
  }

  /** Sets the time of the next ping. The first may follow at once. */
  #pause(term: Term): void {
    const pause = term.failures === 0 ? 0 : pauseAfter(term.failures, BACKOFF);
    term.failures += 1;
    term.notBefore = this.#components.clock.now() + pause;
  }

  #term(remoteRuntime: Address): Term {
    let term = this.#terms.get(remoteRuntime);
    if (term === undefined) {
      this.#forgetOne();
      term = { why: undefined, failures: 0, notBefore: 0, doubtedAt: -Infinity, isPinging: false, pinged: undefined };
      this.#terms.set(remoteRuntime, term);
    }
    return term;
  }

  #forgetOne(): void {
    const [oldest] = this.#terms.keys();
    if (oldest === undefined || this.#terms.size < this.#init.maxRemembered) return;
    this.#terms.delete(oldest);
    for (const connection of this.#components.list.current(oldest)) this.#components.list.doubt(connection, undefined);
  }
}

const nameOf = ({ address, details }: P2pConnection): string => `${address} ${String(details['generation'])}`;
