/**
 * What a receiver is promised to remember of one sender (docs/protocol.md, FLW-2): so many streams, those used last.
 * Streams beyond may be taken again.
 */
export class StreamMemory {
  readonly #max: number;
  /** Those remembered, the one used longest ago first, and whether anything of them was taken. */
  readonly #streams = new Map<string, { taken: boolean }>();
  readonly #forgotten = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Something of a stream has come. @returns whether the stream may have been forgotten before */
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
