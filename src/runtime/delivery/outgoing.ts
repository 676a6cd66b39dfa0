import type { Pressure } from '../../bus/index.js';
import { asProtoflyError, isProvisional, withFlow, type Address, type Clock, type FlowMark, type Message, type MessageId, type Response, type Timer } from '../../protocol/index.js';
import type { Carrier } from './carrier.js';

export interface OutgoingComponents {
  readonly clock: Clock;
  /** The way that a message to an address takes now. @throws ProtoflyError where there is none */
  readonly route: (message: Message, to: Address) => Carrier | Promise<Carrier>;
}

export interface OutgoingInit {
  /** Different in each life of the runtime. */
  readonly epoch: string;
  /** Beyond this many unacknowledged messages of one stream its sender is stalled. @default 4096 */
  readonly maxOutstanding?: number;
  /** How long no receipt may come before what is outstanding is sent again, in milliseconds; doubles up to 8 times. @default 3000 */
  readonly resendMs?: number;
  /** After how many milliseconds without any receipt a stream is forgotten. @default 120_000 */
  readonly forgetMs?: number;
  /** After how many milliseconds without any receipt a carrier's word that it couldn't send is passed on to the sender. @default 10_000 */
  readonly giveUpMs?: number;
  /** Whether what is outstanding stays so until its receipt, or a refusal, comes: neither `giveUpMs` nor `forgetMs` end it. @default false */
  readonly patient?: boolean;
}

interface Outstanding {
  readonly seq: number;
  readonly message: Message;
  /** What it was given to last. */
  carrier: Carrier | undefined;
}

/** One stream: what one sender sends to one receiver with receipts. */
interface Flow {
  /** Never used again: a stream that was forgotten and begins anew must not look like a repetition of its beginning. */
  epoch: string;
  readonly to: Address;
  nextSeq: number;
  readonly outstanding: Map<MessageId, Outstanding>;
  /** Carriers that were lost while what is outstanding is being sent another way. */
  readonly lost: Set<Carrier>;
  /** While what is outstanding is being sent another way: settles when new messages may follow. */
  moving: Promise<void> | undefined;
  /** When the oldest outstanding message became the oldest. */
  progress: number;
  resentAt: number;
  resends: number;
  room: (() => void)[];
}

/**
 * The sending half of delivery: numbers the messages that want a receipt, keeps them until it comes, and sends them
 * again when their carrier is lost or nothing is heard. With `Incoming` at the other end a message is taken once and
 * in order, whichever ways it went.
 */
export class Outgoing {
  readonly #clock: Clock;
  readonly #route: OutgoingComponents['route'];
  readonly #epoch: string;
  readonly #maxOutstanding: number;
  readonly #resendMs: number;
  readonly #forgetMs: number;
  readonly #giveUpMs: number;
  readonly #patient: boolean;
  readonly #flows = new Map<string, Flow>();
  #sweep: Timer | undefined;
  #resent = 0;
  /** How many streams have begun. */
  #begun = 0;

  constructor({ clock, route }: OutgoingComponents, init: OutgoingInit) {
    this.#clock = clock;
    this.#route = route;
    this.#epoch = init.epoch;
    this.#maxOutstanding = init.maxOutstanding ?? 4096;
    this.#resendMs = init.resendMs ?? 3000;
    this.#forgetMs = init.forgetMs ?? 120_000;
    this.#giveUpMs = init.giveUpMs ?? 10_000;
    this.#patient = init.patient ?? false;
  }

  /** How many messages were sent more than once. */
  get resent(): number {
    return this.#resent;
  }

  /**
   * Sends a message that wants a receipt over `carrier`.
   * @param mark where it stands, for a caller that keeps count itself: ascending within an epoch, and of one epoch only
   * while anything of the pair is outstanding
   */
  send(message: Message, to: Address, carrier: Carrier, mark?: Pick<FlowMark, 'epoch' | 'seq'>): Pressure {
    const flow = this.#flow(message.from, to);
    if (flow.outstanding.size === 0) flow.progress = this.#clock.now();
    if (mark !== undefined) {
      flow.epoch = mark.epoch;
      flow.nextSeq = mark.seq;
    }
    const entry: Outstanding = { seq: flow.nextSeq++, message, carrier: undefined };
    flow.outstanding.set(message.id, entry);
    // What is being sent another way takes this message along.
    const pressure = flow.moving ?? this.#carry(flow, entry, carrier);
    if (flow.outstanding.size < this.#maxOutstanding) return pressure;
    const room = new Promise<void>((resolve) => flow.room.push(resolve));
    return pressure === undefined ? room : Promise.all([pressure, room]).then(() => undefined);
  }

  /**
   * Takes note of a response from elsewhere: its request is no longer outstanding.
   * @returns false when it is nevertheless: a carrier's or node's word that it couldn't pass it on is no refusal by the
   * receiver; what wasn't passed on goes again a little later, another way if there is one
   */
  settle(response: Response): boolean {
    if (isProvisional(response)) return true;
    const flow = this.#flows.get(keyOf(response.to, response.from));
    if (flow?.outstanding.has(response.id) !== true) return true;
    if (response.body['error'] === 'E_UNREACHABLE' && (this.#patient || this.#clock.now() - flow.progress < this.#giveUpMs)) return false;
    this.#end(flow, response.id);
    return true;
  }

  /** What went over `carrier` and is outstanding goes again, over whatever way there is now. */
  lost(carrier: Carrier): void {
    for (const flow of this.#flows.values()) {
      if (flow.moving !== undefined) flow.lost.add(carrier);
      else if (wentOver(flow, carrier)) this.#move(flow, (entry) => entry.carrier === carrier);
    }
  }

  /** Nothing of a message is to be waited for any more. */
  withdraw(from: Address, to: Address, id: MessageId): void {
    const flow = this.#flows.get(keyOf(from, to));
    if (flow !== undefined) this.#end(flow, id);
  }

  close(): void {
    this.#sweep?.cancel();
    for (const flow of this.#flows.values()) for (const go of flow.room.splice(0)) go();
    this.#flows.clear();
  }

  #flow(from: Address, to: Address): Flow {
    const key = keyOf(from, to);
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      const now = this.#clock.now();
      this.#begun += 1;
      flow = { epoch: `${this.#epoch}.${String(this.#begun)}`, to, nextSeq: 1, outstanding: new Map(), lost: new Set(), moving: undefined, progress: now, resentAt: now, resends: 0, room: [] };
      this.#flows.set(key, flow);
      this.#schedule();
    }
    return flow;
  }

  #end(flow: Flow, id: MessageId): void {
    const [oldest] = flow.outstanding.keys();
    if (!flow.outstanding.delete(id)) return;
    // Receipts come in order: where one is missing, those after it are no progress.
    if (oldest === id) {
      flow.progress = this.#clock.now();
      flow.resends = 0;
    }
    if (flow.outstanding.size < this.#maxOutstanding / 2) for (const go of flow.room.splice(0)) go();
  }

  #marked(flow: Flow, entry: Outstanding): Message {
    const [first] = flow.outstanding.values();
    return withFlow(entry.message, { epoch: flow.epoch, seq: entry.seq, base: first?.seq ?? entry.seq });
  }

  #carry(flow: Flow, entry: Outstanding, carrier: Carrier): Pressure {
    entry.carrier = carrier;
    try {
      return carrier.send(this.#marked(flow, entry));
    } catch (thrown) {
      if (asProtoflyError(thrown).code !== 'E_LINK_CLOSED') {
        flow.outstanding.delete(entry.message.id);
        throw thrown;
      }
      this.#move(flow, (one) => one.carrier === carrier);
      return flow.moving;
    }
  }

  /** Sends again what is outstanding and fits. What is sent meanwhile follows it. */
  #move(flow: Flow, fits: (entry: Outstanding) => boolean): void {
    if (flow.moving !== undefined || flow.outstanding.size === 0) return;
    flow.resentAt = this.#clock.now();
    flow.moving = this.#resend(flow, fits).finally(() => {
      flow.moving = undefined;
      const lost = [...flow.lost].filter((carrier) => wentOver(flow, carrier));
      flow.lost.clear();
      if (lost.length > 0) this.#move(flow, ({ carrier }) => carrier === undefined || lost.includes(carrier));
    });
  }

  async #resend(flow: Flow, fits: (entry: Outstanding) => boolean): Promise<void> {
    const chosen = [...flow.outstanding.values()].filter(fits);
    const [first] = chosen;
    if (first === undefined) return;
    try {
      const carrier = await this.#route(first.message, flow.to);
      for (const entry of chosen) {
        if (!flow.outstanding.has(entry.message.id)) continue;
        this.#resent += 1;
        entry.carrier = carrier;
        await carrier.send(this.#marked(flow, entry));
      }
      // A Map's iteration sees what is added meanwhile: new messages follow in their turn.
      for (const entry of flow.outstanding.values()) {
        if (entry.carrier !== undefined) continue;
        entry.carrier = carrier;
        await carrier.send(this.#marked(flow, entry));
      }
    } catch {
      // No way now, or it was lost again: the sweep tries later, until the senders' own time is up.
    }
  }

  #schedule(): void {
    this.#sweep ??= this.#clock.setTimeout(() => {
      this.#sweep = undefined;
      this.#look();
      if (this.#flows.size > 0) this.#schedule();
    }, this.#resendMs / 3);
  }

  #look(): void {
    const now = this.#clock.now();
    for (const [key, flow] of this.#flows) {
      if (flow.outstanding.size === 0) {
        if (now - flow.progress > this.#forgetMs) this.#flows.delete(key);
        continue;
      }
      if (!this.#patient && now - flow.progress > this.#forgetMs) {
        for (const go of flow.room.splice(0)) go();
        this.#flows.delete(key);
      } else if (now - Math.max(flow.progress, flow.resentAt) > this.#resendMs * 2 ** Math.min(flow.resends, 3)) {
        flow.resends += 1;
        this.#move(flow, () => true);
      } else if (flow.resends > 0) void this.#detour(flow);
    }
  }

  /** What stands still, though it was sent again, takes another way as soon as there is one. */
  async #detour(flow: Flow): Promise<void> {
    const [first] = flow.outstanding.values();
    if (first === undefined || flow.moving !== undefined) return;
    const before = first.carrier;
    try {
      const carrier = await this.#route(first.message, flow.to);
      if (carrier !== before && first.carrier === before && flow.outstanding.has(first.message.id)) this.#move(flow, (entry) => entry.carrier !== carrier);
    } catch {
      // No way now: there is a next time.
    }
  }
}

/** Whether anything outstanding was given to that carrier last. */
const wentOver = (flow: Flow, carrier: Carrier): boolean => {
  for (const entry of flow.outstanding.values()) if (entry.carrier === carrier) return true;
  return false;
};

const keyOf = (from: Address, to: Address): string => `${from} ${to}`;
