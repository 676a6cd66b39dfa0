/**
 * Models what a receiver must remember of one sender (docs/protocol.md, FLW-2): a number of flows, the most
 * recently used. Messages of other flows may be taken again.
 */
export class StreamMemory {
  readonly #max: number;
  /** The remembered flows, least recently used first, and whether a message of them was taken. */
  readonly #streams = new Map<string, { taken: boolean }>();
  readonly #forgotten = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Records a message of a flow. @returns true if the flow may have been forgotten before */
  use(epoch: string): boolean {
    const stream = this.#streams.get(epoch) ?? { taken: false };
    this.#streams.delete(epoch);
    this.#streams.set(epoch, stream);
    const [oldest] = this.#streams.keys();
    if (this.#streams.size > this.#max && oldest !== undefined) {
      this.#streams.delete(oldest);
      this.#forgotten.add(oldest);
    }
    return this.#forgotten.has(epoch);
  }
}
