import type { Address } from '../../../protocol/index.js';
import type { Session } from './session.js';

const PER_SESSION = 1000;

/**
 * Addresses of other domains that runtimes of those domains have sent from here, so that answers find back. Who came
 * first has the address while its session lasts.
 */
export class Visitors {
  readonly #sessions = new Map<Address, Session>();
  readonly #addresses = new Map<Session, Set<Address>>();

  /** Whether the session may send from there; remembers that it does. */
  isFrom(session: Session, from: Address): boolean {
    const holder = this.#sessions.get(from);
    if (holder !== undefined) return holder === session;
    let addresses = this.#addresses.get(session);
    if (addresses === undefined) this.#addresses.set(session, addresses = new Set());
    if (addresses.size >= PER_SESSION) {
      const [oldest] = addresses;
      if (oldest !== undefined) { addresses.delete(oldest); this.#sessions.delete(oldest); }
    }
    addresses.add(from);
    this.#sessions.set(from, session);
    return true;
  }

  at(address: Address): Session | undefined {
    return this.#sessions.get(address);
  }

  forget(session: Session): void {
    for (const address of this.#addresses.get(session) ?? []) this.#sessions.delete(address);
    this.#addresses.delete(session);
  }
}
