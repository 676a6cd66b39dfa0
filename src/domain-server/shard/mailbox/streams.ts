import { withFlow, type Address, type FlowMark, type Message } from '../../../protocol/index.js';

/** Where a message stands in its sender's stream. */
export type Mark = Pick<FlowMark, 'epoch' | 'seq'>;

/**
 * Which numbers of each stream to one receiver are here (docs/protocol.md, "Flows"). A receiver waits for what is
 * missing from the base on that a message names: what is kept must follow without a gap, what is given must not promise
 * more than there is.
 */
export class MailFlows {
  readonly #here = new Map<string, Set<number>>();

  add(from: Address, { epoch, seq }: Mark): void {
    const stream = streamOf(from, epoch);
    this.#here.set(stream, (this.#here.get(stream) ?? new Set()).add(seq));
  }

  delete(from: Address, { epoch, seq }: Mark): void {
    const stream = streamOf(from, epoch);
    const left = this.#here.get(stream);
    left?.delete(seq);
    if (left?.size === 0) this.#here.delete(stream);
  }

  /** The message as it is given: what isn't here any more doesn't come, so its base is the first of what is here without a gap. */
  withBase(message: Message, { epoch, seq }: Mark): Message {
    return withFlow(message, { epoch, seq, base: this.#baseOf(message.from, { epoch, seq }) });
  }

  /** Whether earlier mail of a flow is here, and between that and this something that won't come: the base of this would skip it. */
  isBehindGap(from: Address, mark: Mark): boolean {
    const base = this.#baseOf(from, mark);
    for (const here of this.#here.get(streamOf(from, mark.epoch)) ?? []) if (here < base) return true;
    return false;
  }

  #baseOf(from: Address, { epoch, seq }: Mark): number {
    const here = this.#here.get(streamOf(from, epoch));
    let base = seq;
    while (here?.has(base - 1) === true) base -= 1;
    return base;
  }

  /** A message that goes past what is here: its receiver is to wait for mail of the same flow before it. */
  behind(message: Message, { epoch, seq, base }: FlowMark): Message {
    let lowest = base;
    for (const here of this.#here.get(streamOf(message.from, epoch)) ?? []) lowest = Math.min(lowest, here);
    return lowest < base ? withFlow(message, { epoch, seq, base: lowest }) : message;
  }

  /** Whether everything from its base on is here. */
  isNext(from: Address, { epoch, seq, base }: FlowMark): boolean {
    const here = this.#here.get(streamOf(from, epoch));
    if (seq - base > (here?.size ?? 0)) return false;
    for (let before = base; before < seq; before += 1) if (here?.has(before) !== true) return false;
    return true;
  }
}

const streamOf = (from: Address, epoch: string): string => `${from} ${epoch}`;
