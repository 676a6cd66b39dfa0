import type { Origin } from '../../bus/index.js';
import type { Link } from '../../link/index.js';
import { countOf, ProtoflyError, type Address, type Clock, type ConnectionStatus, type Message, type Backpressure, type RegistryRecord, type ReceivedVia } from '../../protocol/index.js';
import type { Carrier } from '../delivery/index.js';

export interface P2pConnectionInit {
  readonly address: Address;
  readonly stub: Address;
  readonly role: 'requester' | 'handler';
  readonly remoteRuntime: Address;
  readonly generation: number;
  /** The record that the set-up uses. Only set for a requester. */
  readonly record?: RegistryRecord;
  /** True if the connection has no port, and its messages use the stub's main channel. @default false */
  readonly isShared?: boolean;
}

/** The code with which a handler refuses a set-up that must give way. */
const GLARE = 486;

/** Time after which a connection that carries messages but brings none is checked, in milliseconds. */
const SILENT_MS = 5000;

/** One P2P connection, with the state that status events report. */
export class P2pConnection implements Origin, Carrier {
  readonly kind = 'p2p';
  /** Always false: an unreachable connection has ended. */
  readonly isAway = false;
  readonly address: Address;
  readonly stub: Address;
  readonly role: 'requester' | 'handler';
  readonly remoteRuntime: Address;
  readonly record: RegistryRecord | undefined;
  readonly isShared: boolean;
  generation: number;
  status: ConnectionStatus = 'created';
  reason: string | undefined;
  /** Time of the last status change, in milliseconds since 1970. */
  since: number;
  /** Time when it last became live, in steady time. */
  liveSince = 0;
  /**
   * Time of its last message in either direction, in steady time. While it is suspect, the time of the last message that
   * took another route instead.
   */
  usedAt: number;
  details: Readonly<Record<string, unknown>> = {};
  link: Pick<Link<Message>, 'send' | 'close'> | undefined;
  /** Reason to assume that messages over it are lost, until the other side answers over it. Set by `ConnectionList`. */
  doubt: string | undefined;
  /** True if this side ended it because the other side's set-up continues. */
  gaveWay = false;
  /** Called when a message is sent after nothing has come for `SILENT_MS`. */
  onSilence: () => void = () => undefined;
  /** Senders that are known to live in the remote runtime. */
  readonly verified = new Set<Address>();
  readonly #clock: Clock;
  /** Time of the first message sent since the last one came, in steady time. */
  #silentSince: number | undefined;
  /** Number of messages sent, including each message of a batch. */
  #sent = 0;
  #received = 0;

  constructor({ clock }: { readonly clock: Clock }, init: P2pConnectionInit) {
    this.#clock = clock;
    this.address = init.address;
    this.stub = init.stub;
    this.role = init.role;
    this.remoteRuntime = init.remoteRuntime;
    this.generation = init.generation;
    this.record = init.record;
    this.isShared = init.isShared ?? false;
    this.since = clock.date();
    this.usedAt = clock.now();
  }

  get name(): string {
    return this.address;
  }

  get via(): ReceivedVia {
    return { path: 'p2p', generation: this.generation };
  }

  /** The health of a live connection, as reported or doubted; undefined if it isn't known. */
  get health(): 'good' | 'suspect' | undefined {
    const health = this.doubt === undefined ? this.details['health'] : 'suspect';
    return this.status === 'live' && (health === 'good' || health === 'suspect') ? health : undefined;
  }

  /** True if it is live, but its other side is silent or receives nothing. */
  get isSuspect(): boolean {
    return this.health === 'suspect';
  }

  /** True if it failed because the other side's set-up continues. */
  get hasYielded(): boolean {
    return this.gaveWay || this.details['refusedWith'] === GLARE;
  }

  /** Notes that a message came over the connection. */
  brought(message: Message): void {
    this.usedAt = this.#clock.now();
    this.#silentSince = undefined;
    this.#received += countOf(message);
  }

  send(message: Message): Backpressure {
    if (this.link === undefined) throw new ProtoflyError('E_LINK_CLOSED', `${this.address} is closed`);
    const now = this.#clock.now();
    if (!this.isSuspect) this.usedAt = now;
    this.#sent += countOf(message);
    const backpressure = this.link.send(message);
    this.#silentSince ??= now;
    if (now - this.#silentSince > SILENT_MS) {
      this.#silentSince = now;
      this.onSilence();
    }
    return backpressure;
  }

  /** Returns the connection as docs/control.md describes it. */
  view(): Record<string, unknown> {
    const { address, stub, role, remoteRuntime, status, reason, since, generation, details, health } = this;
    return {
      address, stub, role, remoteRuntime, status, reason, since: new Date(since).toISOString(), generation,
      health, rttMs: health === undefined ? undefined : details['rttMs'],
      pair: details['pair'], setupMs: details['setupMs'], framing: details['framing'], sent: this.#sent, received: this.#received,
    };
  }
}
