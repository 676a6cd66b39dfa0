import { respond, type Address, type FlowMark, type Request, type Response } from '../../protocol/index.js';
import type { Arrival } from './queue.js';

export interface ReceiptsComponents {
  /** Sends a receipt on its way. */
  readonly reply: (response: Response) => void;
}

/** Messages of one stream that follow each other, came in the same way, and have all been taken. */
interface Run {
  readonly epoch: string;
  readonly first: number;
  readonly arrival: Arrival;
  /** The last of them. */
  message: Request;
  last: number;
}

/**
 * Receipts on their way out. Those for messages of a stream that follow each other leave as one (docs/protocol.md, FLW-7)
 * when everything that is at hand has been handled: nobody waits for more to come.
 */
export class Receipts {
  readonly #reply: ReceiptsComponents['reply'];
  readonly #address: Address;
  /** The run of each sender that has begun in this turn. */
  readonly #runs = new Map<Address, Run>();

  constructor({ reply }: ReceiptsComponents, { address }: { readonly address: Address }) {
    this.#reply = reply;
    this.#address = address;
  }

  /** A message that wants a receipt has been taken. */
  add(message: Request, arrival: Arrival, flow: FlowMark | undefined): void {
    if (flow === undefined) {
      this.#reply(respond(message, 200, bodyOf(arrival), this.#address));
      return;
    }
    const run = this.#runs.get(message.from);
    if (run !== undefined && run.epoch === flow.epoch && run.last + 1 === flow.seq && isSame(run.arrival, arrival)) {
      run.message = message;
      run.last = flow.seq;
      return;
    }
    if (run !== undefined) this.#send(run);
    else if (this.#runs.size === 0) queueMicrotask(() => { this.#sendAll(); });
    this.#runs.set(message.from, { epoch: flow.epoch, first: flow.seq, last: flow.seq, arrival, message });
  }

  #sendAll(): void {
    const runs = [...this.#runs.values()];
    this.#runs.clear();
    for (const run of runs) this.#send(run);
  }

  #send({ epoch, first, last, arrival, message }: Run): void {
    this.#reply(respond(message, 200, { ...bodyOf(arrival), flow: [epoch, first, last] }, this.#address));
  }
}

const bodyOf = ({ path, generation }: Arrival): { readonly path: string; readonly generation?: number } => ({ path, ...(generation === undefined ? {} : { generation }) });

const isSame = (one: Arrival, other: Arrival): boolean => one.path === other.path && one.generation === other.generation;
