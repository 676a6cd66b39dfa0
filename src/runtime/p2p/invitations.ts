import type { Origin } from '../../bus/index.js';
import { LruMap } from '../../kit/lru-map.js';
import { TokenBucket } from '../../kit/token-bucket.js';
import { asProtoflyError, isAddress, isWithin, parseAddress, ProtoflyError, runtimeOf, type Address, type Clock, type Request } from '../../protocol/index.js';
import type { ConnectionList } from './connection-list.js';
import { P2pConnection } from './p2p-connection.js';
import type { SetUpSignatures } from './set-up-signatures.js';

/** Maximum number of runtimes whose invitations are remembered. */
const MAX_REMEMBERED = 1000;
/** Invitations of one runtime that are looked at: 100 at once, then 50 a second. */
const PACE = { perSecond: 50, burst: 100 };
/** The same for all runtimes together: who makes many keys gains nothing. */
const PACE_OF_ALL = { perSecond: 200, burst: 400 };

export interface InvitationsComponents {
  readonly clock: Clock;
  readonly list: ConnectionList;
  readonly signatures: SetUpSignatures;
  readonly guests: Guests;
}

/** Decides whose direct connections are taken. */
export interface Guests {
  /** Checks the certificate that a runtime shows, if any, and whether its user may connect. @throws ProtoflyError `E_CERTIFICATE`, `E_USER_KEY`, `E_BLOCKED`, `E_KNOCK`, … */
  check(runtime: Address, certificate: unknown): Promise<void>;
}

/**
 * Checks the invitations that come to this runtime's P2P stubs: each must be made and signed by the runtime that it names.
 * The stubs may then report connections with those runtimes, and with no other (docs/protocol.md, P2P-17 and P2P-18).
 */
export class Invitations {
  readonly #components: InvitationsComponents;
  readonly #handler: Address;
  readonly #verified = new LruMap<Address, true>(MAX_REMEMBERED);
  readonly #paces = new LruMap<Address, TokenBucket>(MAX_REMEMBERED);
  readonly #pace: TokenBucket;

  /** @param init `handler`: address of the handler stub */
  constructor(components: InvitationsComponents, { handler }: { readonly handler: Address }) {
    this.#components = components;
    this.#pace = new TokenBucket(components, PACE_OF_ALL);
    this.#handler = handler;
  }

  /**
   * Checks an invitation to a P2P stub. The message node vouches for its sender, or the connection that brought it.
   * @throws ProtoflyError `E_REFUSED`, `E_TOO_MANY`, or as `SetUpSignatures.check`
   */
  async check(message: Request, to: Address, origin: Origin): Promise<void> {
    const { list, signatures, guests } = this.#components;
    const { sender, source } = message.body ?? {};
    const vouched = origin instanceof P2pConnection ? origin.remoteRuntime : isAddress(sender) ? parseAddress(sender) : undefined;
    const named = isAddress(source) ? parseAddress(source) : message.from;
    const value = (message.body?.value ?? {}) as Readonly<Record<string, unknown>>;
    const inside = value['runtime'] ?? vouched;
    if (vouched === undefined || runtimeOf(named) !== vouched || (inside !== '' && inside !== vouched)) {
      throw new ProtoflyError('E_REFUSED', vouched === undefined ? 'no message node vouches for the runtime that sets this connection up' : `a set-up by ${vouched} names another runtime`);
    }
    const requested = isWithin(to, this.#handler) ? undefined : list.get(to);
    if (requested === undefined ? !isWithin(to, this.#handler) : requested.remoteRuntime !== vouched) throw new ProtoflyError('E_REFUSED', `${to} sets up no connection with ${vouched}`);
    this.#count(vouched);
    try {
      await signatures.check(value, vouched);
      // An answer comes from a runtime that a program here has chosen.
      if (requested === undefined) await guests.check(vouched, value['certificate']);
    } catch (thrown) {
      const { code, message: why } = asProtoflyError(thrown);
      // A repetition of an answer that was taken says nothing against that one.
      if (requested !== undefined && code !== 'E_REPLAYED') list.step(requested, 'failed', why);
      throw thrown;
    }
    if (requested === undefined) this.#verified.set(vouched, true);
  }

  /** True if an invitation of that runtime has come. */
  has(runtime: Address): boolean {
    return this.#verified.get(runtime) === true;
  }

  /** @throws ProtoflyError `E_TOO_MANY` */
  #count(runtime: Address): void {
    const pace = this.#paces.get(runtime) ?? new TokenBucket({ clock: this.#components.clock }, PACE);
    this.#paces.set(runtime, pace);
    if (pace.level < 1) throw new ProtoflyError('E_TOO_MANY', `${runtime} sets up too many connections`);
    if (this.#pace.level < 1) throw new ProtoflyError('E_TOO_MANY', 'too many connections are being set up');
    pace.take(1);
    this.#pace.take(1);
  }
}
