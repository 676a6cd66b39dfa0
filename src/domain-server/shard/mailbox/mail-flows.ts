import { withFlow, type Address, type FlowMark, type Message } from '../../../protocol/index.js';

/** The position of a message in its sender's flow. */
export type Mark = Pick<FlowMark, 'epoch' | 'seq'>;

/**
 * The stored numbers of each flow to one receiver (docs/protocol.md, "Flows"). A receiver waits for every number from
 * a message's base on. So messages must be stored without gaps, and a delivered message must not name a base with a
 * number that is missing here.
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

  /**
   * Returns a message with its base set to the first number of the unbroken run before it. Earlier messages will not
   * be sent.
   */
  withBase(message: Message, { epoch, seq }: Mark): Message {
    return withFlow(message, { epoch, seq, base: this.#baseOf(message.from, { epoch, seq }) });
  }

  /**
   * True if a gap that won't be filled separates a message from earlier mail of its flow. Its base would skip that
   * mail.
   */
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

  /** Returns a message that overtakes stored mail, with its base lowered so that its receiver waits for that mail. */
  behind(message: Message, { epoch, seq, base }: FlowMark): Message {
    let lowest = base;
    for (const here of this.#here.get(streamOf(message.from, epoch)) ?? []) lowest = Math.min(lowest, here);
    return lowest < base ? withFlow(message, { epoch, seq, base: lowest }) : message;
  }

  /** True if every number from the message's base up to the message itself is stored. */
  isNext(from: Address, { epoch, seq, base }: FlowMark): boolean {
    const here = this.#here.get(streamOf(from, epoch));
    if (seq - base > (here?.size ?? 0)) return false;
    for (let before = base; before < seq; before += 1) if (here?.has(before) !== true) return false;
    return true;
  }
}

const streamOf = (from: Address, epoch: string): string => `${from} ${epoch}`;
