import { child, type Address } from '../../protocol/index.js';
import type { SyncRoutes } from './ports.js';

/** The addresses under which messages for an object's reporter come in. */
export const routesOf = (url: Address): readonly Address[] => [url, child(url, 'subscription')];

export interface AddressPoolInit {
  readonly scheme: string;
  readonly size: number;
  readonly onFailure: (thrown: unknown) => void;
}

/**
 * Addresses for new data objects, allocated and subscribed ahead of time, so that making one costs no round trip.
 * It refills after each `take`; a failed refill is tried again by the next one.
 */
export class AddressPool {
  readonly #routes: SyncRoutes;
  readonly #init: AddressPoolInit;
  #ready: Address[] = [];
  #filling: Promise<void> | undefined;
  /** Changes when what is being allocated is no longer wanted. */
  #generation = 0;
  #closed = false;

  constructor({ routes }: { readonly routes: SyncRoutes }, init: AddressPoolInit) {
    this.#routes = routes;
    this.#init = init;
  }

  get size(): number {
    return this.#ready.length;
  }

  /** An address that is ready now, or a new one. @throws ProtoflyError as the domain refuses */
  async take(): Promise<Address> {
    const ready = this.#ready.shift();
    this.fill();
    return ready ?? allocate(this.#routes, this.#init.scheme);
  }

  /** Starts filling up in the background. */
  fill(): void {
    if (this.#filling === undefined && this.#wants) this.#filling = this.#fill().catch(this.#init.onFailure);
  }

  /** Forgets what there is: the message node doesn't know it any more. */
  renew(): void {
    this.#generation += 1;
    this.#ready = [];
    this.fill();
  }

  /** Gives up what there is, also what is still coming. Idempotent. */
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
      // Here and not in a `then`: who calls `fill` right after the last one was taken must not find it still filling.
      this.#filling = undefined;
    }
  }
}

/** A new address whose messages come here. */
export const allocate = async (routes: SyncRoutes, scheme: string): Promise<Address> => {
  const url = await routes.allocate(scheme);
  await routes.subscribe(routesOf(url));
  return url;
};
