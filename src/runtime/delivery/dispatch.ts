import { asProtoflyError, asUncertain, refuse, type Clock, type FlowMark, type Backpressure, type ProtoflyError, type Request, type Response } from '../../protocol/index.js';
import { GatheredBatch } from './batch.js';
import { routeRequest, type Carrier, type RouteRequest } from './carrier.js';
import type { Flow } from './flow.js';
import { give, giveBack, isInDoubt, type InFlight } from './in-flight.js';
import type { Receipts } from './receipts.js';
import { atEndOfTurn } from './batch.js';

export interface DispatchComponents {
  readonly clock: Clock;
  /** @throws ProtoflyError where there is no carrier */
  readonly route: (request: RouteRequest) => Carrier | Promise<Carrier>;
  /** Answers the sender of what can't be sent at all. @param mark the number of that message */
  readonly reply: (response: Response, mark: Pick<FlowMark, 'epoch' | 'seq'>) => void;
  /** What of the other direction is to be acknowledged, and may go along. @default nothing */
  readonly receipts?: Pick<Receipts, 'take'>;
}

/** Gives what is outstanding to carriers: alone or together (docs/protocol.md, FLW-8), and again another way. */
export class Dispatch {
  readonly #components: DispatchComponents;
  /** Streams with something that leaves at the end of this turn. */
  readonly #gathering = new Set<Flow>();
  #resent = 0;

  constructor(components: DispatchComponents) {
    this.#components = components;
  }

  /** How many messages were given more than once. */
  get resent(): number {
    return this.#resent;
  }

  /** Whether any stream has gathered something. */
  get isGathering(): boolean {
    return this.#gathering.size > 0;
  }

  /** Sends a message at once. @throws ProtoflyError `E_TOO_LARGE`, `E_MESSAGE` */
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

  /** Sends a message with what else is sent in this turn. */
  gather(flow: Flow, entry: InFlight, carrier: Carrier): Backpressure {
    if (flow.batch?.takes(entry, carrier) === false) this.leave(flow);
    if (flow.moving !== undefined) return flow.moving;
    if (this.#gathering.size === 0) atEndOfTurn(() => { for (const one of this.#gathering) this.leave(one); });
    this.#gathering.add(flow);
    flow.batch ??= new GatheredBatch(carrier);
    flow.batch.add(entry);
    return flow.backpressure;
  }

  /** Sends what has been gathered. */
  leave(flow: Flow): void {
    const { batch } = flow;
    flow.batch = undefined;
    this.#gathering.delete(flow);
    if (batch === undefined) return;
    // Some may have been given up meanwhile.
    const entries = batch.entries.filter((entry) => flow.window.get(entry.seq) === entry);
    const [first] = entries;
    // What takes a receipt along does so as often as it is sent.
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
    // One of them is no good. Each by itself shows which.
    for (const entry of entries) {
      try {
        flow.press(this.carry(flow, entry, carrier));
      } catch (thrown) {
        this.refuse(flow, entry, asProtoflyError(thrown));
      }
    }
  }

  /** Sends again what is outstanding and fits. What is sent meanwhile follows it. */
  move(flow: Flow, fits: (entry: InFlight) => boolean): void {
    if (flow.moving !== undefined || flow.window.size === 0) return;
    flow.resentAt = this.#components.clock.now();
    flow.trouble = undefined;
    // What was about to leave goes along, and nobody waits for the way before.
    flow.batch = undefined;
    flow.backpressure = undefined;
    this.#gathering.delete(flow);
    for (const entry of flow.window.all()) if (fits(entry)) entry.carrier = undefined;
    if (flow.window.find(({ carrier }) => carrier === undefined) === undefined) return;
    let moved: () => void = () => undefined;
    flow.moving = new Promise((resolve) => { moved = resolve; });
    void this.#resend(flow).then(moved);
  }

  /** Ends with `#moved`, without a pause after the last message: what is sent from then on leaves by itself. Never rejects. */
  async #resend(flow: Flow): Promise<void> {
    const { window } = flow;
    try {
      // Messages that are added meanwhile follow, even where the window has become empty in between and numbers begin anew.
      for (let entry = window.oldest; entry !== undefined; entry = window.after(entry.seq) ?? window.find(wasNeverGiven)) {
        if (entry.carrier !== undefined) continue;
        const carrier = await this.#components.route(routeRequest(entry.message, flow.to, flow.avoid));
        // Its receipt may have come meanwhile.
        if (window.get(entry.seq) === entry) await this.#giveAgain(flow, entry, carrier);
      }
    } catch (thrown) {
      // No way now, or it was lost again: the sweep tries later, until the senders' own time is up.
      flow.trouble = asProtoflyError(thrown);
    }
    this.#moved(flow);
  }

  #moved(flow: Flow): void {
    flow.moving = undefined;
    const lost = [...flow.lost].filter((carrier) => flow.wentOver(carrier));
    flow.lost.clear();
    if (lost.length > 0) this.move(flow, ({ carrier }) => carrier === undefined || lost.includes(carrier));
  }

  /** @throws ProtoflyError `E_LINK_CLOSED` */
  #giveAgain(flow: Flow, entry: InFlight, carrier: Carrier): Backpressure {
    try {
      return this.#give(flow, [entry], carrier);
    } catch (thrown) {
      if (asProtoflyError(thrown).code === 'E_LINK_CLOSED') throw thrown;
      // No carrier would take it, and others wait behind it.
      this.refuse(flow, entry, asProtoflyError(thrown));
      return undefined;
    }
  }

  /** It is given up: its sender is told why, and whether it may have arrived. */
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

/** Whether no number is missing between them. */
const isTogether = (entries: readonly InFlight[]): entries is readonly [InFlight, ...InFlight[]] => {
  const [first] = entries;
  return first !== undefined && entries.at(-1)!.seq - first.seq + 1 === entries.length;
};
