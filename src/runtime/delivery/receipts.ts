import type { MessageBus } from '../../bus/index.js';
import { respond, type Address, type Body, type FlowMark, type Request, type Response, type ReceivedVia } from '../../protocol/index.js';
import { Flows } from './flows.js';

/** Returns a function that answers the senders of messages over the bus. */
export const replyOver = (bus: MessageBus) => (response: Response): void => { void bus.post(response); };

export interface ReceiptsComponents {
  /** Sends a receipt. */
  readonly reply: (response: Response) => void;
}

/** Consecutive messages of one flow that came by the same path and have all been taken. */
interface Run {
  /** The receiver, which acknowledges them. */
  readonly from: Address;
  /** The sender, which gets the receipt. */
  readonly to: Address;
  readonly epoch: string;
  readonly first: number;
  readonly via: ReceivedVia;
  /** The last message of the run. */
  message: Request;
  last: number;
}

/**
 * Receipts to be sent. Those for consecutive messages of a flow are combined into one (docs/protocol.md, FLW-7). It goes
 * along with a message in the same direction in this turn of the event loop (FLW-9), or by itself at the end of the turn.
 * No receipt waits for more messages to come.
 */
export class Receipts {
  readonly #reply: ReceiptsComponents['reply'];
  /** The current run of each flow, begun in this turn. */
  readonly #runs = new Flows<Run>();

  constructor({ reply }: ReceiptsComponents) {
    this.#reply = reply;
  }

  /** Acknowledges a message that wants a receipt. @param from the receiver that has taken it */
  add(from: Address, message: Request, via: ReceivedVia, flow: FlowMark | undefined): void {
    if (flow === undefined) {
      this.#reply(respond(message, 200, { ...via }, from));
      return;
    }
    const run = this.#runs.get(from, message.from);
    if (run !== undefined && run.epoch === flow.epoch && run.last + 1 === flow.seq && isSame(run.via, via)) {
      run.message = message;
      run.last = flow.seq;
      return;
    }
    if (run !== undefined) this.#send(run);
    if (this.#runs.size === 0) setImmediate(() => { this.flush(); });
    this.#runs.add({ from, to: message.from, epoch: flow.epoch, first: flow.seq, last: flow.seq, via, message });
  }

  /**
   * Removes and returns the pending receipt of one flow, so that it can go along with another message. Receipts for mail
   * are left to be sent by themselves, because a message node has to see them (docs/protocol.md, MAL-3).
   * @returns the body of the receipt, if there is one
   */
  take(from: Address, to: Address): Body | undefined {
    const run = this.#runs.get(from, to);
    if (run === undefined || run.message.body?.store === true) return undefined;
    this.#runs.delete(run);
    return bodyOf(run);
  }

  /** Sends all pending receipts now. */
  flush(): void {
    for (const run of this.#runs.all()) this.#send(run);
  }

  #send(run: Run): void {
    this.#runs.delete(run);
    this.#reply(respond(run.message, 200, bodyOf(run), run.from));
  }
}

const bodyOf = ({ via, epoch, first, last }: Run): Body => ({ ...via, flow: [epoch, first, last] });

const isSame = (one: ReceivedVia, other: ReceivedVia): boolean => one.path === other.path && one.generation === other.generation;
