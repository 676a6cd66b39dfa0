import type { Origin } from '../../bus/index.js';
import { LruMap } from '../../kit/lru-map.js';
import { isAddress, isWithin, parseAddress, ProtoflyError, runtimeOf, type Address, type Request } from '../../protocol/index.js';
import type { ConnectionList } from './connection-list.js';
import { P2pConnection } from './p2p-connection.js';

/** Maximum number of runtimes whose invitation is remembered. */
const MAX_REMEMBERED = 1000;

/**
 * Checks the invitations that come to this runtime's P2P stubs: each must be made by the runtime that it names. The stubs
 * may then report connections with those runtimes, and with no other (docs/protocol.md, P2P-17).
 */
export class Invitations {
  readonly #list: ConnectionList;
  readonly #handler: Address;
  readonly #verified = new LruMap<Address, true>(MAX_REMEMBERED);

  /** @param init `handler`: address of the handler stub */
  constructor({ list }: { readonly list: ConnectionList }, { handler }: { readonly handler: Address }) {
    this.#list = list;
    this.#handler = handler;
  }

  /**
   * Checks a request to a P2P stub. The message node vouches for its sender, or the connection that brought it.
   * @throws ProtoflyError `E_REFUSED`
   */
  check(message: Request, to: Address, origin: Origin): void {
    if (message.type !== 'create') return;
    const { sender, source, value } = message.body ?? {};
    const vouched = origin instanceof P2pConnection ? origin.remoteRuntime : isAddress(sender) ? parseAddress(sender) : undefined;
    const named = isAddress(source) ? parseAddress(source) : message.from;
    const { runtime: inside = vouched } = (value ?? {}) as { readonly runtime?: unknown };
    if (vouched === undefined || runtimeOf(named) !== vouched || (inside !== '' && inside !== vouched)) {
      throw new ProtoflyError('E_REFUSED', vouched === undefined ? 'no message node vouches for the runtime that sets this connection up' : `a set-up by ${vouched} names another runtime`);
    }
    if (isWithin(to, this.#handler)) this.#verified.set(vouched, true);
    else if (this.#list.get(to)?.remoteRuntime !== vouched) throw new ProtoflyError('E_REFUSED', `${to} sets up no connection with ${vouched}`);
  }

  /** True if an invitation of that runtime has come. */
  has(runtime: Address): boolean {
    return this.#verified.get(runtime) === true;
  }
}
