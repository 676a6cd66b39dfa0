import { child, ProtoflyError, type Address } from '../../protocol/index.js';
import type { SyncRoutes } from './ports.js';

/** Returns the addresses at which an object's reporter receives messages. */
export const routesOf = (url: Address): readonly Address[] => [url, child(url, 'subscription')];

export interface AddressPoolInit {
  readonly scheme: string;
  readonly size: number;
  readonly onFailure: (thrown: unknown) => void;
}

/**
 * Addresses for new data objects, allocated and subscribed ahead of time, so that making an object costs no round trip.
 * The pool refills after each `take`. After a failed refill, the next `take` tries again.
 */
export class AddressPool {
  readonly #routes: SyncRoutes;
  readonly #init: AddressPoolInit;
  #ready: Address[] = [];
  #filling: Promise<void> | undefined;
  /** Changes when allocations in progress are no longer wanted. */
  #generation = 0;
  #closed = false;

  constructor({ routes }: { readonly routes: SyncRoutes }, init: AddressPoolInit) {
    this.#routes = routes;
    this.#init = init;
  }

  get size(): number {
    return this.#ready.length;
  }

  /** Returns an address that is ready, or allocates one. @throws ProtoflyError as the domain refuses */
  async take(): Promise<Address> {
    const ready = this.#ready.shift();
    this.fill();
    return ready ?? allocate(this.#routes, this.#init.scheme);
  }

  /** Starts to refill the pool in the background. */
  fill(): void {
    if (this.#filling === undefined && this.#wants) this.#filling = this.#fill().catch(this.#init.onFailure);
  }

  /** Discards the addresses in the pool, because the message node has forgotten them, and refills it. */
  renew(): void {
    this.#generation += 1;
    this.#ready = [];
    this.fill();
  }

  /** Unsubscribes all addresses, including those being allocated. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#filling;
    const left = this.#ready.splice(0);
    if (left.length > 0) await this.#routes.unsubscribe(left.flatMap(routesOf));
  }

  get #wants(): boolean {
    return this.#ready.length < this.#init.size && !this.#closed;
  }

  async #fill(): Promise<void> {
    try {
      while (this.#wants) {
        const generation = this.#generation;
        const url = await allocate(this.#routes, this.#init.scheme);
        if (generation === this.#generation) this.#ready.push(url);
      }
    } finally {
      // Clear it here, not in a `then`: a `fill` directly after the last `take` must not find it still set.
      this.#filling = undefined;
    }
  }
}

/** Allocates an address and subscribes to its messages. */
export const allocate = async (routes: SyncRoutes, scheme: string): Promise<Address> => {
  const [url] = await routes.allocate(scheme, 1);
  if (url === undefined) throw new ProtoflyError('E_MESSAGE', 'the message node allocated no address');
  await routes.subscribe(routesOf(url));
  return url;
};
