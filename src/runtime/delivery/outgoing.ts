import {
  asProtoflyError, asUncertain, batchRange, isProvisional, isSuccess, combinedBackpressure, rangeOf, responseError, withIds,
  ProtoflyError, type Address, type Clock, type ErrorCode, type FlowMark, type Message, type Backpressure, type Response, type Timer,
} from '../../protocol/index.js';
import { isBatchable } from './batch.js';
import { routeRequest, type Carrier } from './carrier.js';
import { Dispatch, type DispatchComponents } from './dispatch.js';
import { Flow } from './flow.js';
import { Flows } from './flows.js';
import { giveBack, isInDoubt, type InFlight } from './in-flight.js';

/** `reply` answers a sender whose message nothing could carry, or not for too long, too. */
export interface OutgoingComponents extends DispatchComponents {
  /** A carrier brought no receipt for a message that arrived over one of another kind. @default nobody is told */
  readonly onMute?: (carrier: Carrier) => void;
}

/** 1 MiB. */
export const WINDOW = 1024 * 1024;

export interface OutgoingInit {
  /** Different in each life of the runtime. */
  readonly epoch: string;
  /** Beyond this many unacknowledged bytes of one stream its sender is stalled. @default WINDOW */
  readonly window?: number;
  /** How long no receipt may come before what is outstanding is sent again, in milliseconds; doubles up to 8 times. @default 3000 */
  readonly resendMs?: number;
  /** After how many milliseconds without any receipt a stream is forgotten. @default 120_000 */
  readonly forgetMs?: number;
  /**
   * After how many milliseconds of waiting without any receipt a carrier's word that it couldn't send is passed on to the sender,
   * unless the message says how long that waits (`body.timeout`). @default 10_000
   */
  readonly giveUpMs?: number;
  /** Whether what is outstanding stays so until its receipt, or a refusal, comes: neither `giveUpMs` nor `forgetMs` end it. @default false */
  readonly patient?: boolean;
}

export interface SendOptions {
  /** Where it stands, for a caller that keeps count itself: ascending within an epoch, and of one epoch only while anything of the pair is outstanding. */
  readonly mark?: Pick<FlowMark, 'epoch' | 'seq'>;
  /** When its `ttl` ends, in steady time: it travels with the rest of it. @default its `ttl`, if any, travels as it is */
  readonly until?: number;
  /** Whether its receiver takes several messages as one (FLW-8), and receipts that come with them (FLW-9). @default false */
  readonly batches?: boolean;
}

/** What says that a message could be given to nobody, not that its receiver doesn't want it. */
const NOBODY: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['E_UNREACHABLE', 'E_UNAVAILABLE', 'E_NOT_FOUND']);

/**
 * The sending half of delivery: numbers the messages that want a receipt, keeps them until it comes, and sends them
 * again when their carrier is lost or nothing is heard. With `Incoming` at the other end a message is taken once and
 * in order, whichever ways it went.
 */
export class Outgoing {
  readonly #clock: Clock;
  readonly #route: OutgoingComponents['route'];
  readonly #reply: OutgoingComponents['reply'];
  readonly #onMute: OutgoingComponents['onMute'];
  readonly #init: Required<OutgoingInit>;
  readonly #flows = new Flows<Flow>();
  readonly #dispatch: Dispatch;
  #sweep: Timer | undefined;
  /** How many streams have begun. */
  #begun = 0;

  constructor(components: OutgoingComponents, init: OutgoingInit) {
    const { clock, route, reply, onMute } = components;
    this.#clock = clock;
    this.#route = route;
    this.#reply = reply;
    this.#onMute = onMute;
    this.#dispatch = new Dispatch(components);
    this.#init = { window: WINDOW, resendMs: 3000, forgetMs: 120_000, giveUpMs: 10_000, patient: false, ...init };
  }

  /** How many messages were sent more than once. */
  get resent(): number {
    return this.#dispatch.resent;
  }

  /** Sends a message that wants a receipt over `carrier`: at once, or with what else is sent in this turn. */
  send(message: Message, to: Address, carrier: Carrier, { mark, until, batches = false }: SendOptions = {}): Backpressure {
    const flow = this.#flow(message.from, to);
    // A caller that keeps count has reasons for its route: what it sends may have to stay behind mail.
    const instead = mark === undefined ? flow.insteadOf(carrier, message) : carrier;
    const entry = flow.add(message, mark, until);
    // What is being sent another way takes this message along.
    const backpressure = flow.moving ?? (batches && isBatchable(entry) ? this.#dispatch.gather(flow, entry, instead) : this.#dispatch.carry(flow, entry, instead));
    return backpressure === undefined ? flow.room : combinedBackpressure([backpressure, flow.room]);
  }

  /** What is sent from now on to `to` doesn't overtake what was sent before, even where that leaves at the end of this turn. */
  flush(from: Address, to: Address): void {
    const flow = this.#dispatch.isGathering ? this.#flows.get(from, to) : undefined;
    if (flow !== undefined) this.#dispatch.leave(flow);
  }

  /** Keeps a message for which there is no way now: it goes when there is one, or its sender is told that there was none. */
  hold(message: Message, to: Address, trouble: ProtoflyError): Backpressure {
    const flow = this.#flow(message.from, to);
    flow.add(message);
    flow.trouble = trouble;
    return flow.room;
  }

  /**
   * Takes note of a response from elsewhere: what it stands for is no longer outstanding.
   * @returns what its sender is to hear: of a response about many (FLW-7, FLW-8) one that lists their ids; nothing of one for which
   * nobody waits, or when the message is nevertheless outstanding: a carrier's or node's word that it couldn't pass it on
   * is no refusal by the receiver. It goes again a little later, another way if there is one
   */
  settle(response: Response): Response | undefined {
    if (isProvisional(response)) return response;
    const flow = this.#flows.get(response.to, response.from);
    const range = rangeOf(response);
    if (range !== undefined) return flow?.epoch === range.epoch ? this.#settled(flow, response, flow.window.between(range.first, range.last)) : undefined;
    const batch = batchRange(response.id);
    if (flow !== undefined && flow.epoch === batch?.epoch) return this.#settled(flow, response, flow.window.between(batch.first, batch.last));
    const entry = flow?.window.find(({ message }) => message.id === response.id);
    return flow === undefined || entry === undefined ? response : this.#settled(flow, response, [entry]);
  }

  /** What went over `carrier` and is outstanding goes again, over whatever way there is now, and so does what couldn't be sent. */
  lost(carrier: Carrier): void {
    for (const flow of this.#flows.all()) {
      if (flow.moving !== undefined) flow.lost.add(carrier);
      else if (flow.trouble !== undefined || flow.wentOver(carrier)) this.#dispatch.move(flow, (entry) => entry.carrier === carrier || entry.carrier === undefined);
    }
  }

  /** There may be ways that weren't there before: what couldn't be sent goes again. */
  wake(): void {
    for (const flow of this.#flows.all()) if (flow.trouble !== undefined) this.#dispatch.move(flow, ({ carrier }) => carrier === undefined);
  }

  /** The receipt of a message has come, for a caller that keeps count itself. @param path the one that the receipt names */
  acknowledge(from: Address, to: Address, mark: Pick<FlowMark, 'epoch' | 'seq'>, path?: unknown): void {
    const { flow, entry } = this.#at(from, to, mark);
    if (flow !== undefined && entry !== undefined) this.#acknowledge(flow, [entry], path);
  }

  /** A carrier, or a node behind it, says that a message went no further: it stays in flight. */
  giveBack(from: Address, to: Address, mark: Pick<FlowMark, 'epoch' | 'seq'>): void {
    const { flow, entry } = this.#at(from, to, mark);
    if (entry === undefined) return;
    giveBack(entry);
    flow?.doubt(entry);
  }

  /** Gives a message up: it isn't sent any more. @returns whether its receiver may have it */
  withdraw(from: Address, to: Address, mark: Pick<FlowMark, 'epoch' | 'seq'>): boolean {
    const { flow, entry } = this.#at(from, to, mark);
    if (entry === undefined) return false;
    flow?.drop(entry);
    return isInDoubt(entry);
  }

  close(): void {
    this.#sweep?.cancel();
    for (const flow of this.#flows.all()) flow.release();
    this.#flows.clear();
  }

  #at(from: Address, to: Address, { epoch, seq }: Pick<FlowMark, 'epoch' | 'seq'>): { readonly flow: Flow | undefined; readonly entry: InFlight | undefined } {
    const flow = this.#flows.get(from, to);
    return { flow, entry: flow?.epoch === epoch ? flow.window.get(seq) : undefined };
  }

  #flow(from: Address, to: Address): Flow {
    let flow = this.#flows.get(from, to);
    if (flow === undefined) {
      this.#begun += 1;
      flow = new Flow({ clock: this.#clock }, { epoch: `${this.#init.epoch}.${String(this.#begun)}`, from, to, maxBytes: this.#init.window });
      this.#flows.add(flow);
      this.#schedule();
    }
    return flow;
  }

  /** @returns what the sender of these messages hears of a response that is about all of them */
  #settled(flow: Flow, response: Response, entries: readonly InFlight[]): Response | undefined {
    if (!isSuccess(response)) return this.#refused(flow, response, entries);
    this.#acknowledge(flow, entries, response.body['path']);
    return aboutAll(response, entries);
  }

  /** Receipts have come. One for a message that came another way than first tried shows that the receiver is there, and that carrier of no use. */
  #acknowledge(flow: Flow, entries: readonly InFlight[], path: unknown): void {
    const mute = entries.find(({ doubted }) => doubted !== undefined && typeof path === 'string' && path !== doubted.kind)?.doubted;
    for (const entry of entries) flow.acknowledge(entry);
    if (mute !== undefined) this.#onMute?.(mute);
  }

  #refused(flow: Flow, response: Response, entries: readonly InFlight[]): Response | undefined {
    const { code, uncertain } = responseError(response);
    if (NOBODY.has(code) && !uncertain) for (const entry of entries) giveBack(entry);
    const ended = entries.filter((entry) => !this.#hopes(flow, entry, response));
    for (const entry of ended) flow.drop(entry);
    // Its receiver itself has refused it, or it is nowhere else.
    const isCertain = (entry: InFlight): boolean => !NOBODY.has(code) || !isInDoubt(entry);
    const clear = aboutAll(response, ended.filter(isCertain));
    const unclear = aboutAll(asUncertain(response), ended.filter((entry) => !isCertain(entry)));
    if (clear !== undefined && unclear !== undefined) this.#reply(unclear, { epoch: flow.epoch, seq: entries[0]!.seq });
    return clear ?? unclear;
  }

  /** Whether a message stays outstanding in spite of a response, because that only says that it wasn't passed on. */
  #hopes(flow: Flow, entry: InFlight, response: Response): boolean {
    if (response.body['error'] !== 'E_UNREACHABLE' || !this.#mayHope(flow, entry)) return false;
    flow.doubt(entry);
    entry.carrier = undefined;
    flow.trouble = responseError(response);
    return true;
  }

  #mayHope(flow: Flow, entry: InFlight): boolean {
    return this.#init.patient || this.#silence(flow, entry) < this.#patience(entry.message);
  }

  /** For how long a message has waited without any receipt of its stream. */
  #silence(flow: Flow, { since }: InFlight): number {
    return this.#clock.now() - Math.max(flow.progress, since);
  }

  /** How long no receipt may come before it is no use to try on. */
  #patience(message: Message): number {
    const timeout = message.body?.timeout;
    return typeof timeout === 'number' && timeout > 0 ? timeout : this.#init.giveUpMs;
  }

  #schedule(): void {
    this.#sweep ??= this.#clock.setTimeout(() => {
      this.#sweep = undefined;
      this.#look();
      if (this.#flows.size > 0) this.#schedule();
    }, this.#init.resendMs / 3);
  }

  #look(): void {
    const now = this.#clock.now();
    const { resendMs, forgetMs, patient } = this.#init;
    for (const flow of this.#flows.all()) {
      const { oldest } = flow.window;
      if (oldest === undefined) {
        if (now - flow.progress > forgetMs) this.#flows.delete(flow);
        continue;
      }
      const isAway = oldest.carrier?.isAway === true;
      if (!patient && this.#isForgotten(flow, oldest)) {
        this.#forget(flow);
      } else if (!isAway && now - Math.max(flow.progress, flow.resentAt) > resendMs * 2 ** Math.min(flow.resends, 3)) {
        flow.resends += 1;
        flow.doubt(oldest);
        this.#dispatch.move(flow, () => true);
      } else if (isAway || flow.resends > 0 || flow.trouble !== undefined) void this.#detour(flow, oldest);
    }
  }

  #isForgotten(flow: Flow, entry: InFlight): boolean {
    return this.#silence(flow, entry) > Math.max(this.#init.forgetMs, this.#patience(entry.message));
  }

  /** Gives up messages that have waited too long for a receipt, and tells their senders. */
  #forget(flow: Flow): void {
    const error = new ProtoflyError('E_TIMEOUT', `${flow.to} acknowledged nothing for too long`);
    for (const entry of flow.window.all()) if (this.#isForgotten(flow, entry)) this.#dispatch.refuse(flow, entry, error);
  }

  /** What stands still takes another way as soon as there is one, and what couldn't be sent any. */
  async #detour(flow: Flow, oldest: InFlight): Promise<void> {
    if (flow.moving !== undefined) return;
    try {
      const routes = new Routes(this.#route, flow);
      await routes.of(oldest.message);
      for (const { message } of flow.window.all()) if (routes.known(message) === undefined) await routes.of(message);
      const elsewhere = ({ message, carrier: before }: InFlight): boolean => before !== (routes.known(message) ?? before);
      if (flow.window.find(elsewhere) !== undefined) this.#dispatch.move(flow, elsewhere);
      else flow.trouble = undefined;
    } catch (thrown) {
      flow.trouble = asProtoflyError(thrown);
      this.#giveUp(flow, flow.trouble);
    }
  }

  /** What nothing carries, and may hope no longer, is refused. */
  #giveUp(flow: Flow, trouble: ProtoflyError): void {
    for (const entry of flow.window.all()) {
      if (entry.carrier !== undefined || this.#mayHope(flow, entry)) continue;
      this.#dispatch.refuse(flow, entry, trouble);
    }
  }
}

/** One response for several messages; undefined where there are none. */
const aboutAll = (response: Response, entries: readonly InFlight[]): Response | undefined =>
  entries.length === 0 ? undefined : withIds(response, entries.map(({ message }) => message.id));

/** The routes of one flow's messages now: one for each wish that a message may have about P2P. */
class Routes {
  readonly #route: DispatchComponents['route'];
  readonly #flow: Flow;
  readonly #found = new Map<unknown, Carrier>();

  constructor(route: DispatchComponents['route'], flow: Flow) {
    this.#route = route;
    this.#flow = flow;
  }

  /** @throws ProtoflyError where there is none */
  async of(message: Message): Promise<Carrier> {
    const wish = message.body?.p2p;
    const known = this.#found.get(wish);
    if (known !== undefined) return known;
    const carrier = await this.#route(routeRequest(message, this.#flow.to, this.#flow.avoid));
    this.#found.set(wish, carrier);
    return carrier;
  }

  /** The route of a message, if `of` was asked for its wish. */
  known(message: Message): Carrier | undefined {
    return this.#found.get(message.body?.p2p);
  }
}
