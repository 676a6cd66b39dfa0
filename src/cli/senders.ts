import { domainOf, partsOf, type Address } from '../protocol/index.js';
import type { SenderInfo } from '../client/documents.js';
import type { Runtime } from '../client/runtime.js';

/** Names that can't be taken for something else. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Maximum number of senders that are remembered. */
const MAX_REMEMBERED = 10_000;

/** Returns a sender as people write him: `alice/in`. Whoever hasn't proved that he is a user is shown as such. */
export const senderName = ({ address, user, claimed, name, verified }: SenderInfo, ownDomain: string): string => {
  const owner = user ?? claimed;
  if (owner === undefined) return `${address} (unverified)`;
  const path = `${partsOf(owner).path}${name === undefined || !NAME.test(name) ? '' : `/${name}`}${domainOf(owner) === ownDomain ? '' : `@${domainOf(owner)}`}`;
  return verified ? path : `${path} (unverified)`;
};

/** Asks the runtime once for each sender. */
export class SenderNames {
  readonly #runtime: Runtime;
  readonly #known = new Map<Address, SenderInfo>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Returns who sends from an address, if the runtime has said so. */
  known(address: Address): SenderInfo | undefined {
    return this.#known.get(address);
  }

  /** Asks who sends from an address. Who can't be found out is nobody. */
  async find(address: Address): Promise<SenderInfo> {
    const sender = await this.#runtime.sender(address).catch(() => undefined);
    // The next message asks again.
    if (sender === undefined) return { address, verified: false };
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    this.#known.set(address, sender);
    return sender;
  }
}
