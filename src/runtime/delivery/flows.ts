import type { Address } from '../../protocol/index.js';

interface Between {
  readonly from: Address;
  readonly to: Address;
}

/** Flows by sender and receiver. Finding the flow of the previous message again costs next to nothing. */
export class Flows<T extends Between> {
  readonly #bySender = new Map<Address, Map<Address, T>>();
  #last: T | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(from: Address, to: Address): T | undefined {
    if (this.#last?.to === to && this.#last.from === from) return this.#last;
    const flow = this.#bySender.get(from)?.get(to);
    if (flow !== undefined) this.#last = flow;
    return flow;
  }

  add(flow: T): void {
    const { from, to } = flow;
    const flows = this.#bySender.get(from) ?? new Map<Address, T>();
    this.#bySender.set(from, flows.set(to, flow));
    this.#size += 1;
  }

  delete({ from, to }: T): void {
    const flows = this.#bySender.get(from);
    if (flows?.delete(to) !== true) return;
    if (flows.size === 0) this.#bySender.delete(from);
    this.#last = undefined;
    this.#size -= 1;
  }

  /** Returns all flows as an array; later changes don't affect it. */
  all(): readonly T[] {
    return [...this.#bySender.values()].flatMap((flows) => [...flows.values()]);
  }

  clear(): void {
    this.#bySender.clear();
    this.#last = undefined;
    this.#size = 0;
  }
}
