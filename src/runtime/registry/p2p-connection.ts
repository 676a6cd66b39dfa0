import type { Origin, Pressure } from '../../bus/index.js';
import type { Link } from '../../link/index.js';
import { ProtoflyError, type Address, type ConnectionStatus, type Message } from '../../protocol/index.js';
import type { Carrier } from '../delivery/index.js';

/** One P2P connection, as the events about it tell. */
export class P2pConnection implements Origin, Carrier {
  readonly kind = 'p2p';
  status: ConnectionStatus = 'created';
  reason: string | undefined;
  since: number;
  details: Readonly<Record<string, unknown>> = {};
  link: Link<Message> | undefined;
  /** It failed because the other side's set-up goes on instead. */
  gaveWay = false;
  /** Senders that were found to live in the remote runtime. */
  readonly verified = new Set<Address>();

  constructor(
    readonly address: Address,
    readonly stub: Address,
    readonly role: 'requester' | 'handler',
    readonly remoteRuntime: Address,
    public generation: number,
    now: number,
  ) {
    this.since = now;
  }

  get name(): string {
    return this.address;
  }

  send(message: Message): Pressure {
    if (this.link === undefined) throw new ProtoflyError('E_LINK_CLOSED', `${this.address} is closed`);
    return this.link.send(message);
  }

  /** @see docs/control.md */
  view(): Record<string, unknown> {
    const { address, stub, role, remoteRuntime, status, reason, since, generation, details, link } = this;
    return {
      address, stub, role, remoteRuntime, status, reason, since: new Date(since).toISOString(), generation,
      pair: details['pair'], setupMs: details['setupMs'], framing: details['framing'], sent: link?.stats.sent ?? 0, received: link?.stats.received ?? 0,
    };
  }
}
