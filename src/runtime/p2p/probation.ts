import { pauseAfter } from '../../kit/backoff.js';
import type { Address, Clock } from '../../protocol/index.js';
import type { ConnectionChange, ConnectionList } from './connection-list.js';
import type { P2pConnection } from './p2p-connection.js';

export interface ProbationComponents {
  readonly clock: Clock;
  readonly list: Pick<ConnectionList, 'current' | 'doubt' | 'live' | 'suspect'>;
  /** Pings a runtime over its P2P connection, or through the message node. @returns whether it answered that the ping came so. Never rejects. */
  readonly ping: (remoteRuntime: Address, path: 'p2p' | 'msg-node') => Promise<boolean>;
}

export interface ProbationInit {
  /** The pause after the first ping that wasn't answered, in milliseconds, doubling up to `maxMs`. @default 1000 */
  readonly firstMs?: number;
  /** @default 300_000 */
  readonly maxMs?: number;
  /** After so long without a doubt pauses begin with the shortest again, in milliseconds. @default 600_000 */
  readonly steadyMs?: number;
  /** How many runtimes are remembered. @default 10_000 */
  readonly maxRemembered?: number;
}

/** What is known of the connections with one runtime. */
interface Term {
  /** Why they are doubted; undefined while they aren't. */
  why: string | undefined;
  /** How often in a row they were doubted, or brought no answer to a ping. */
  failures: number;
  /** Earliest time of the next ping. */
  notBefore: number;
  /** When they were doubted last. */
  doubtedAt: number;
  isPinging: boolean;
  /** The connection, and its generation, that was pinged last. */
  pinged: string | undefined;
}

/** Reasons to doubt a connection. */
const ACKNOWLEDGES_NOTHING = 'acknowledges nothing, though the message node does';
const ANSWERS_NOTHING = 'answers nothing, though the message node does';

/**
 * Connections over which messages are lost although they are live. Such a connection carries nothing until the other
 * runtime answers a ping over it, and so do those that follow it (docs/protocol.md, P2P-16).
 */
export class Probation {
  readonly #components: ProbationComponents;
  readonly #init: Required<ProbationInit>;
  readonly #terms = new Map<Address, Term>();

  constructor(components: ProbationComponents, init: ProbationInit = {}) {
    this.#components = components;
    this.#init = { firstMs: 1000, maxMs: 300_000, steadyMs: 600_000, maxRemembered: 10_000, ...init };
  }

  /** A connection brought no receipt for a message that arrived another way. It may answer a ping at once. */
  acknowledgesNothing(connection: P2pConnection): void {
    this.#begin(connection, ACKNOWLEDGES_NOTHING);
  }

  /** Takes note of every change of every connection. */
  changed({ connection, now }: ConnectionChange): void {
    if (now === 'created') connection.onSilence = () => { void this.#check(connection); };
    const term = this.#terms.get(connection.remoteRuntime);
    if (term?.why === undefined) return;
    if (now === 'created') this.#components.list.doubt(connection, term.why);
    // Another connection, or another generation of it, may be better.
    if (now === 'live' && term.pinged !== nameOf(connection)) void this.#retry(connection.remoteRuntime, term);
  }

  /** A message to a runtime takes another route, because no connection carries. */
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
    if (clock.now() - term.doubtedAt >= this.#init.steadyMs) term.failures = 0;
    term.why = why;
    term.doubtedAt = clock.now();
    term.pinged = nameOf(connection);
    this.#pause(term);
    list.doubt(connection, why);
    this.missed(remoteRuntime);
  }

  /** Nothing comes over a connection that carries. Where its runtime answers no ping over it, but one through the message node, it is doubted. */
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
    // Meanwhile another may have come.
    const next = list.suspect(remoteRuntime);
    if (next !== undefined) this.changed({ connection: next, was: 'live', now: 'live', reason: undefined });
  }

  /** One connection has shown that it is good. Others of that runtime stand behind it. */
  #clear(connection: P2pConnection, term: Term): void {
    const { list } = this.#components;
    term.why = undefined;
    list.doubt(connection, undefined);
    for (const other of list.current(connection.remoteRuntime)) list.doubt(other, undefined);
  }

  /** The first ping may follow at once. */
  #pause(term: Term): void {
    const pause = term.failures === 0 ? 0 : pauseAfter(term.failures, this.#init);
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
