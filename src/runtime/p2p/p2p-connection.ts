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
  /** What the set-up goes by; the requester's alone. */
  readonly record?: RegistryRecord;
  /** Whether its stub has no port for it, so that its messages come and go over the stub's main channel. @default false */
  readonly isShared?: boolean;
}

/** The code with which a handler refuses a set-up that has to give way. */
const GLARE = 486;

/** So long a connection may carry messages without bringing any before somebody asks, in milliseconds. */
const SILENT_MS = 5000;

/** One P2P connection, as the events about it tell. */
export class P2pConnection implements Origin, Carrier {
  readonly kind = 'p2p';
  /** One that is keeps nothing: it is over. */
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
  /** When its status last changed, in milliseconds since 1970. */
  since: number;
  /** When it last became live. */
  liveSince = 0;
  /** When it last carried a message, either way; while it is suspect, when a message last took another route instead. */
  usedAt: number;
  details: Readonly<Record<string, unknown>> = {};
  link: Pick<Link<Message>, 'send' | 'close'> | undefined;
  /** Why messages are taken to be lost over it, until the other side answers over it. Set by the list of connections. */
  doubt: string | undefined;
  /** It was ended here because the other side's set-up goes on instead. */
  gaveWay = false;
  /** Is told when it is given a message although nothing has come over it for long since others were. */
  onSilence: () => void = () => undefined;
  /** Senders that were found to live in the remote runtime. */
  readonly verified = new Set<Address>();
  readonly #clock: Clock;
  /** Since when it has carried messages without bringing any. */
  #silentSince: number | undefined;
  /** How many messages it has carried, those of batches included. */
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

  /** Undefined where its stub doesn't tell and nothing else is known, and while it isn't live. */
  get health(): 'good' | 'suspect' | undefined {
    const health = this.doubt === undefined ? this.details['health'] : 'suspect';
    return this.status === 'live' && (health === 'good' || health === 'suspect') ? health : undefined;
  }

  /** Live by its state, but nothing is heard of the other side, or nothing arrives there. */
  get isSuspect(): boolean {
    return this.health === 'suspect';
  }

  /** It failed because the other side's set-up goes on instead: that one has come here, or the other side says so. */
  get hasYielded(): boolean {
    return this.gaveWay || this.details['refusedWith'] === GLARE;
  }

  /** A message came over it. */
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

  /** @see docs/control.md */
  view(): Record<string, unknown> {
    const { address, stub, role, remoteRuntime, status, reason, since, generation, details, health } = this;
    return {
      address, stub, role, remoteRuntime, status, reason, since: new Date(since).toISOString(), generation,
      health, rttMs: health === undefined ? undefined : details['rttMs'],
      pair: details['pair'], setupMs: details['setupMs'], framing: details['framing'], sent: this.#sent, received: this.#received,
    };
  }
}
