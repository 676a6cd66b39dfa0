import { asProtoflyError, asUncertain, refuse, type Clock, type FlowMark, type Backpressure, type ProtoflyError, type Request, type Response } from '../../protocol/index.js';
import { GatheredBatch } from './batch.js';
import { routeRequest, type Carrier, type Routes } from './carrier.js';
import type { Flow } from './flow.js';
import { give, giveBack, isInDoubt, type InFlight } from './in-flight.js';
import type { Receipts } from './receipts.js';
import { atEndOfTurn } from './batch.js';

export interface DispatchComponents {
  readonly clock: Clock;
  readonly routes: Pick<Routes, 'route'>;
  /** Answers the sender of a message that can't be sent at all. @param mark the number of that message */
  readonly reply: (response: Response, mark: Pick<FlowMark, 'epoch' | 'seq'>) => void;
  /** Pending receipts of the other direction, to be sent along. @default none */
  readonly receipts?: Pick<Receipts, 'take'>;
}

/** Gives messages in flight to carriers: singly or in batches (docs/protocol.md, FLW-8), and again over another route. */
export class Dispatch {
  readonly #components: DispatchComponents;
  /** Flows with a batch that leaves at the end of this turn. */
  readonly #gathering = new Set<Flow>();
  #resent = 0;

  constructor(components: DispatchComponents) {
    this.#components = components;
  }

  /** Number of repeated sends. */
  get resent(): number {
    return this.#resent;
  }

  /** True if any flow has a batch to send. */
  get isGathering(): boolean {
    return this.#gathering.size > 0;
  }

  /** Sends a message at once, after the batch of its flow. @throws ProtoflyError `E_TOO_LARGE`, `E_MESSAGE` */
  carry(flow: Flow, entry: InFlight, carrier: Carrier): Backpressure {
    this.leave(flow);
    if (flow.moving !== undefined) return flow.moving;
    try {
      return this.#give(flow, [entry], carrier);
    } catch (thrown) {
      if (asProtoflyError(thrown).code !== 'E_LINK_CLOSED') {
        flow.drop(entry);
        throw thrown;
      }
      this.move(flow, (one) => one.carrier === carrier);
      return flow.moving;
    }
  }

  /** Adds a message to the batch of its flow, which leaves at the end of this turn. */
  gather(flow: Flow, entry: InFlight, carrier: Carrier): Backpressure {
    if (flow.batch?.takes(entry, carrier) === false) this.leave(flow);
    if (flow.moving !== undefined) return flow.moving;
    if (this.#gathering.size === 0) atEndOfTurn(() => { for (const one of this.#gathering) this.leave(one); });
    this.#gathering.add(flow);
    flow.batch ??= new GatheredBatch(carrier);
    flow.batch.add(entry);
    return flow.backpressure;
  }

  /** Sends the batch of a flow now, if it has one. */
  leave(flow: Flow): void {
    const { batch } = flow;
    flow.batch = undefined;
    this.#gathering.delete(flow);
    if (batch === undefined) return;
    // Some may have been withdrawn meanwhile.
    const entries = batch.entries.filter((entry) => flow.window.get(entry.seq) === entry);
    const [first] = entries;
    // The entry keeps the receipt, so that each repetition carries it, too.
    if (first !== undefined) first.ack = this.#components.receipts?.take(flow.from, flow.to);
    try {
      if (isTogether(entries)) flow.press(this.#give(flow, entries, batch.carrier));
      else for (const entry of entries) flow.press(this.#give(flow, [entry], batch.carrier));
    } catch (thrown) {
      this.#couldNotLeave(flow, entries, batch.carrier, asProtoflyError(thrown));
    }
  }

  #couldNotLeave(flow: Flow, entries: readonly InFlight[], carrier: Carrier, error: ProtoflyError): void {
    if (error.code === 'E_LINK_CLOSED') {
      this.move(flow, (one) => one.carrier === carrier || one.carrier === undefined);
      return;
    }
    // One of them is unacceptable. Sending them one by one shows which.
    for (const entry of entries) {
      try {
        flow.press(this.carry(flow, entry, carrier));
      } catch (thrown) {
        this.refuse(flow, entry, asProtoflyError(thrown));
      }
    }
  }

  /** Sends the matching messages in flight again, over their present routes. Messages added meanwhile follow them. */
  move(flow: Flow, fits: (entry: InFlight) => boolean): void {
    if (flow.course.name === 'moving' || flow.window.size === 0) return;
    flow.resentAt = this.#components.clock.now();
    flow.step({ name: 'cleared' });
    // The batch is sent again with the rest. Backpressure of the former carrier no longer applies.
    flow.batch = undefined;
    flow.backpressure = undefined;
    this.#gathering.delete(flow);
    for (const entry of flow.window.all()) if (fits(entry)) entry.carrier = undefined;
    if (flow.window.find(({ carrier }) => carrier === undefined) === undefined) return;
    let moved: () => void = () => undefined;
    flow.step({ name: 'move', done: new Promise((resolve) => { moved = resolve; }) });
    void this.#resend(flow).then(moved);
  }

  /** Sends the messages without a carrier. Calls `#moved` directly after the last message, so that none is added in between. Never rejects. */
  async #resend(flow: Flow): Promise<void> {
    const { window } = flow;
    try {
      // Includes messages that are added meanwhile, even if the window was empty in between and numbers begin anew.
      for (let entry = window.oldest; entry !== undefined; entry = window.after(entry.seq) ?? window.find(wasNeverGiven)) {
        if (entry.carrier !== undefined) continue;
        const carrier = await this.#components.routes.route(routeRequest(entry.message, flow.to, flow.avoid));
        // Its receipt may have come meanwhile.
        if (window.get(entry.seq) === entry) await this.#giveAgain(flow, entry, carrier);
      }
    } catch (thrown) {
      // There is no route now, or it was lost again. The sweep tries again until the senders' time is up.
      flow.step({ name: 'trouble', trouble: asProtoflyError(thrown) });
    }
    this.#moved(flow);
  }

  #moved(flow: Flow): void {
    const before = flow.step({ name: 'moved' });
    const lost = before.name === 'moving' ? [...before.lost].filter((carrier) => flow.wentOver(carrier)) : [];
    if (lost.length > 0) this.move(flow, ({ carrier }) => carrier === undefined || lost.includes(carrier));
  }

  /** @throws ProtoflyError `E_LINK_CLOSED` */
  #giveAgain(flow: Flow, entry: InFlight, carrier: Carrier): Backpressure {
    try {
      return this.#give(flow, [entry], carrier);
    } catch (thrown) {
      if (asProtoflyError(thrown).code === 'E_LINK_CLOSED') throw thrown;
      // No carrier would take it, and later messages wait behind it.
      this.refuse(flow, entry, asProtoflyError(thrown));
      return undefined;
    }
  }

  /** Gives a message up. Tells its sender why, and whether it may have arrived. */
  refuse(flow: Flow, entry: InFlight, error: ProtoflyError): void {
    flow.drop(entry);
    const refusal = refuse(entry.message as Request, error, flow.to);
    this.#components.reply(isInDoubt(entry) ? asUncertain(refusal) : refusal, { epoch: flow.epoch, seq: entry.seq });
  }

  #give(flow: Flow, entries: readonly [InFlight, ...InFlight[]], carrier: Carrier): Backpressure {
    for (const entry of entries) {
      if (entry.given > 0) this.#resent += 1;
      give(entry, carrier);
    }
    try {
      return carrier.send(flow.marked(entries));
    } catch (thrown) {
      for (const entry of entries) giveBack(entry);
      throw thrown;
    }
  }
}

const wasNeverGiven = ({ given }: InFlight): boolean => given === 0;

/** True if their numbers are consecutive. */
const isTogether = (entries: readonly InFlight[]): entries is readonly [InFlight, ...InFlight[]] => {
  const [first] = entries;
  return first !== undefined && entries.at(-1)!.seq - first.seq + 1 === entries.length;
};
