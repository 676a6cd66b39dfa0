import { createHmac } from 'node:crypto';
import { checkIceUrl, domainOf, MAX_ICE_SERVERS, partsOf, ProtoflyError, respond, type Address, type Clock, type IceServer } from '../../protocol/index.js';
import type { DomainFunction } from '../shard/message-node/functions.js';

export interface IceOfferInit {
  /** URLs, `stun:…` or `turn:…`. @default none */
  readonly servers?: readonly string[];
  /** The secret shared with the TURN servers (coturn: `static-auth-secret`). */
  readonly turnSecret?: string;
  /** Lifetime of credentials, in seconds. @default 3600 */
  readonly ttlS?: number;
}

const DEFAULT_TTL_S = 3600;

/** The ICE servers that a domain offers for connections. */
export class IceOffer {
  readonly ttlS: number;
  readonly #clock: Clock;
  readonly #stun: readonly string[];
  readonly #turn: readonly string[];
  readonly #secret: string;

  /** @throws ProtoflyError `E_USAGE` for an unusable server, or a TURN server without a secret */
  constructor({ clock }: { readonly clock: Clock }, { servers = [], turnSecret = '', ttlS = DEFAULT_TTL_S }: IceOfferInit) {
    if (servers.length > MAX_ICE_SERVERS) throw new ProtoflyError('E_USAGE', `at most ${String(MAX_ICE_SERVERS)} STUN and TURN servers`);
    if (!Number.isInteger(ttlS) || ttlS < 1) throw new ProtoflyError('E_USAGE', 'credentials count for a whole number of seconds');
    const turn = servers.filter((url) => checkIceUrl(url).kind === 'turn');
    if (turn.length > 0 && turnSecret === '') {
      throw new ProtoflyError('E_USAGE', `${turn[0]!} needs the secret that its server checks credentials with`, { hint: 'give --turn-secret-file, or PROTOFLY_TURN_SECRET; coturn: use-auth-secret' });
    }
    this.ttlS = ttlS;
    this.#clock = clock;
    this.#stun = servers.filter((url) => !turn.includes(url));
    this.#turn = turn;
    this.#secret = turnSecret;
  }

  /** The servers without credentials. They are public. */
  get open(): readonly string[] {
    return this.#stun;
  }

  /** Returns the servers for one runtime, with credentials of its own. */
  for(runtime: Address): IceServer[] {
    const open = this.#stun.map((url) => ({ urls: [url] }));
    if (this.#turn.length === 0) return open;
    const username = `${String(Math.floor(this.#clock.date() / 1000) + this.ttlS)}:${partsOf(runtime).path}`;
    return [...open, { urls: [...this.#turn], username, credential: createHmac('sha1', this.#secret).update(username).digest('base64') }];
  }
}

/** `domain://msg-node.<domain>/ice` @see docs/protocol.md, "Functions of the message node" */
export const iceFunction = (offer: IceOffer, domain: string): DomainFunction => (request, session) => {
  if (request.type !== 'read') throw new ProtoflyError('E_MESSAGE', `ICE servers can be read, there is no ${request.type}`);
  if (domainOf(session.runtime) !== domain) throw new ProtoflyError('E_REFUSED', `these servers are for the runtimes of ${domain}`);
  return respond(request, 200, { value: { iceServers: offer.for(session.runtime), ttl: offer.ttlS } });
};
