import type { Address } from '../../../protocol/index.js';
import type { Session } from './session.js';

const PER_SESSION = 1000;

/**
 * Addresses of other domains from which sessions of visiting runtimes have sent, so that responses find back. The
 * first session to use an address has it while it lasts.
 */
export class Visitors {
  readonly #sessions = new Map<Address, Session>();
  readonly #addresses = new Map<Session, Set<Address>>();

  /** True if the session may send from an address. Remembers the address for that session. */
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
