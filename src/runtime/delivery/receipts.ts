import { respond, type Address, type Body, type FlowMark, type Request, type Response, type ReceivedVia } from '../../protocol/index.js';
import { Flows } from './flows.js';

export interface ReceiptsComponents {
  /** Sends a receipt on its way. */
  readonly reply: (response: Response) => void;
}

/** Messages of one stream that follow each other, came in the same way, and have all been taken. */
interface Run {
  /** Who has taken them. */
  readonly from: Address;
  /** Who has sent them. */
  readonly to: Address;
  readonly epoch: string;
  readonly first: number;
  readonly via: ReceivedVia;
  /** The last of them. */
  message: Request;
  last: number;
}

/**
 * Receipts on their way out. Those for messages of a stream that follow each other leave as one (docs/protocol.md, FLW-7),
 * with a message that goes the same way in this turn of the event loop (FLW-9), or else by themselves when it is over:
 * nobody waits for more to come.
 */
export class Receipts {
  readonly #reply: ReceiptsComponents['reply'];
  /** The run of each stream that has begun in this turn. */
  readonly #runs = new Flows<Run>();

  constructor({ reply }: ReceiptsComponents) {
    this.#reply = reply;
  }

  /** A message that wants a receipt has been taken. @param from by whom */
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
   * What is to be acknowledged to somebody now: it needn't be sent by itself. Not of mail, because a message node has to
   * see that (docs/protocol.md, MAL-3).
   * @returns the body of a receipt
   */
  take(from: Address, to: Address): Body | undefined {
    const run = this.#runs.get(from, to);
    if (run === undefined || run.message.body?.store === true) return undefined;
    this.#runs.delete(run);
    return bodyOf(run);
  }

  /** Sends all that has gathered. */
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
