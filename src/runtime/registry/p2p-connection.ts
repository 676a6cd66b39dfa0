import type { Origin } from '../../bus/index.js';
import type { Link } from '../../link/index.js';
import { countOf, ProtoflyError, type Address, type Clock, type ConnectionStatus, type Message, type Pressure, type RegistryRecord } from '../../protocol/index.js';
import type { Carrier } from '../delivery/index.js';

export interface P2pConnectionInit {
  readonly address: Address;
  readonly stub: Address;
  readonly role: 'requester' | 'handler';
  readonly remoteRuntime: Address;
  readonly generation: number;
  /** What the set-up goes by; the requester's alone. */
  readonly record?: RegistryRecord;
}

/** The code with which a handler refuses a set-up that has to give way. */
const GLARE = 486;

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
  generation: number;
  status: ConnectionStatus = 'created';
  reason: string | undefined;
  /** When its status last changed, in milliseconds since 1970. */
  since: number;
  /** When it last became live. */
  liveSince = 0;
  /** When it last carried a message, either way. */
  usedAt: number;
  details: Readonly<Record<string, unknown>> = {};
  link: Link<Message> | undefined;
  /** It was ended here because the other side's set-up goes on instead. */
  gaveWay = false;
  /** Senders that were found to live in the remote runtime. */
  readonly verified = new Set<Address>();
  readonly #clock: Clock;
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
    this.since = clock.date();
    this.usedAt = clock.now();
  }

  get name(): string {
    return this.address;
  }

  /** Undefined where its stub doesn't tell, and while it isn't live. */
  get health(): 'good' | 'suspect' | undefined {
    const { health } = this.details;
    return this.status === 'live' && (health === 'good' || health === 'suspect') ? health : undefined;
  }

  /** Live by its state, but nothing is heard of the other side. */
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
    this.#received += countOf(message);
  }

  send(message: Message): Pressure {
    if (this.link === undefined) throw new ProtoflyError('E_LINK_CLOSED', `${this.address} is closed`);
    this.usedAt = this.#clock.now();
    this.#sent += countOf(message);
    return this.link.send(message);
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
