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

/** `reply` also answers a sender whose message could not be carried, or was not acknowledged in time. */
export interface OutgoingComponents extends DispatchComponents {
  /** Called when a carrier brought no receipt for a message whose receipt names another path. @default none */
  readonly onMute?: (carrier: Carrier) => void;
}

/** Unacknowledged bytes of one flow from which on its sender gets backpressure. 1 MiB. */
export const WINDOW = 1024 * 1024;
/** Time without a receipt after which messages in flight are given up, and an idle flow is forgotten, in milliseconds. */
const FORGET_MS = 120_000;

export interface OutgoingInit {
  /** Unique to each start of the runtime. */
  readonly epoch: string;
  /** Unacknowledged bytes of one flow from which on its sender gets backpressure. @default WINDOW */
  readonly window?: number;
  /** Time without a receipt before messages in flight are sent again, in milliseconds; doubles each time, up to 8-fold. @default 3000 */
  readonly resendMs?: number;
  /**
   * Time without a receipt before the sender hears that a carrier couldn't send its message, in milliseconds. A message's
   * own `body.timeout` takes precedence.
   * @default 10_000
   */
  readonly giveUpMs?: number;
  /** True if messages stay in flight until a receipt or a refusal, regardless of `giveUpMs` and `FORGET_MS`. @default false */
  readonly patient?: boolean;
}

export interface SendOptions {
  /**
   * The message's number, for a caller that numbers messages itself. Numbers ascend within an epoch. The epoch must not
   * change while messages of the flow are in flight.
   */
  readonly mark?: Pick<FlowMark, 'epoch' | 'seq'>;
  /** Deadline of its `ttl` in steady time: it travels with the rest. @default its `ttl`, if any, travels unchanged */
  readonly until?: number;
  /** True if the receiver accepts batches (FLW-8) and receipts carried by messages (FLW-9). @default false */
  readonly batches?: boolean;
}

/** Codes that mean that the message reached nobody, as opposed to a refusal by its receiver. */
const NOBODY: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['E_UNREACHABLE', 'E_UNAVAILABLE', 'E_NOT_FOUND']);

/**
 * The sending half of delivery. It numbers the messages that want a receipt and keeps them until the receipt comes. It
 * sends them again when their carrier is lost or no receipt comes. With `Incoming` at the other end, each message is
 * taken once and in order, whichever carriers it took.
 */
export class Outgoing {
  readonly #clock: Clock;
  readonly #routes: OutgoingComponents['routes'];
  readonly #reply: OutgoingComponents['reply'];
  readonly #onMute: OutgoingComponents['onMute'];
  readonly #init: Required<OutgoingInit>;
  readonly #flows = new Flows<Flow>();
  readonly #dispatch: Dispatch;
  #sweep: Timer | undefined;
  /** Number of flows created so far. */
  #begun = 0;

  constructor(components: OutgoingComponents, init: OutgoingInit) {
    const { clock, routes, reply, onMute } = components;
    this.#clock = clock;
    this.#routes = routes;
    this.#reply = reply;
    this.#onMute = onMute;
    this.#dispatch = new Dispatch(components);
    this.#init = { window: WINDOW, resendMs: 3000, giveUpMs: 10_000, patient: false, ...init };
  }

  /** Number of repeated sends. */
  get resent(): number {
    return this.#dispatch.resent;
  }

  /** Sends a message that wants a receipt over `carrier`: at once, or in a batch at the end of this turn. */
  send(message: Message, to: Address, carrier: Carrier, { mark, until, batches = false }: SendOptions = {}): Backpressure {
    const flow = this.#flow(message.from, to);
    // A caller with its own numbers has chosen the route on purpose: its messages may have to stay behind mail.
    const instead = mark === undefined ? flow.insteadOf(carrier, message) : carrier;
    const entry = flow.add(message, mark, until);
    // While the flow is being sent again, that includes this message.
    const backpressure = flow.moving ?? (batches && isBatchable(entry) ? this.#dispatch.gather(flow, entry, instead) : this.#dispatch.carry(flow, entry, instead));
    return backpressure === undefined ? flow.room : combinedBackpressure([backpressure, flow.room]);
  }

  /** Sends the flow's batch now, so that later messages without receipt don't overtake it. */
  flush(from: Address, to: Address): void {
    const flow = this.#dispatch.isGathering ? this.#flows.get(from, to) : undefined;
    if (flow !== undefined) this.#dispatch.leave(flow);
  }

  /** Keeps a message without a route. It is sent when there is one; otherwise its sender gets `trouble` in the end. */
  hold(message: Message, to: Address, trouble: ProtoflyError): Backpressure {
    const flow = this.#flow(message.from, to);
    flow.add(message);
    flow.step({ name: 'trouble', trouble });
    return flow.room;
  }

  /**
   * Handles a response from another runtime and ends the flight of the messages that it settles. A carrier's or node's
   * report of failed forwarding is no refusal by the receiver: the message is sent again later, by another route if there
   * is one.
   * @returns the response for the sender. If it is about several messages (FLW-7, FLW-8), it lists their ids. Undefined
   * if nobody waits for it, or if the messages stay in flight
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

  /** Sends the messages in flight over `carrier` again, over their present routes, and those that couldn't be sent. */
  lost(carrier: Carrier): void {
    for (const flow of this.#flows.all()) {
      if (flow.course.name === 'moving') flow.step({ name: 'lost', carrier });
      else if (flow.trouble !== undefined || flow.wentOver(carrier)) this.#dispatch.move(flow, (entry) => entry.carrier === carrier || entry.carrier === undefined);
    }
  }

  /** Sends messages that had no route again, because there may be one now. */
  wake(): void {
    for (const flow of this.#flows.all()) if (flow.trouble !== undefined) this.#dispatch.move(flow, ({ carrier }) => carrier === undefined);
  }

  /** Handles a receipt, for a caller that numbers messages itself. @param path the path that the receipt names */
  acknowledge(from: Address, to: Address, mark: Pick<FlowMark, 'epoch' | 'seq'>, path?: unknown): void {
    const { flow, entry } = this.#at(from, to, mark);
    if (flow !== undefined && entry !== undefined) this.#acknowledge(flow, [entry], path);
  }

  /** Notes that a carrier, or a node behind it, reported that a message went no further. It stays in flight. */
  giveBack(from: Address, to: Address, mark: Pick<FlowMark, 'epoch' | 'seq'>): void {
    const { flow, entry } = this.#at(from, to, mark);
    if (entry === undefined) return;
    giveBack(entry);
    flow?.doubt(entry);
  }

  /** Gives a message up: it isn't sent again. @returns true if its receiver may have it */
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

  /** @returns the response for the sender of these messages, if there is anything to say */
  #settled(flow: Flow, response: Response, entries: readonly InFlight[]): Response | undefined {
    if (!isSuccess(response)) return this.#refused(flow, response, entries);
    this.#acknowledge(flow, entries, response.body['path']);
    return aboutAll(response, entries);
  }

  /**
   * Handles receipts. If one names another path than the carrier first tried, the receiver is there and that carrier is
   * of no use.
   */
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
    // True if the receiver itself has refused it, or it reached nobody.
    const isCertain = (entry: InFlight): boolean => !NOBODY.has(code) || !isInDoubt(entry);
    const clear = aboutAll(response, ended.filter(isCertain));
    const unclear = aboutAll(asUncertain(response), ended.filter((entry) => !isCertain(entry)));
    if (clear !== undefined && unclear !== undefined) this.#reply(unclear, { epoch: flow.epoch, seq: entries[0]!.seq });
    return clear ?? unclear;
  }

  /** True if a message stays in flight in spite of a response that only says that it wasn't passed on. */
  #hopes(flow: Flow, entry: InFlight, response: Response): boolean {
    if (response.body['error'] !== 'E_UNREACHABLE' || !this.#mayHope(flow, entry)) return false;
    flow.doubt(entry);
    entry.carrier = undefined;
    flow.step({ name: 'trouble', trouble: responseError(response) });
    return true;
  }

  #mayHope(flow: Flow, entry: InFlight): boolean {
    return this.#init.patient || this.#silence(flow, entry) < this.#patience(entry.message);
  }

  /** Returns the time that a message has waited without any receipt of its flow, in milliseconds. */
  #silence(flow: Flow, { since }: InFlight): number {
    return this.#clock.now() - Math.max(flow.progress, since);
  }

  /** Returns the time without a receipt after which a message is given up, in milliseconds. */
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
    const { resendMs, patient } = this.#init;
    for (const flow of this.#flows.all()) {
      const { oldest } = flow.window;
      if (oldest === undefined) {
        if (now - flow.progress > FORGET_MS) this.#flows.delete(flow);
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
    return this.#silence(flow, entry) > Math.max(FORGET_MS, this.#patience(entry.message));
  }

  /** Gives up messages that have waited too long for a receipt, and tells their senders. */
  #forget(flow: Flow): void {
    const error = new ProtoflyError('E_TIMEOUT', `${flow.to} acknowledged nothing for too long`);
    for (const entry of flow.window.all()) if (this.#isForgotten(flow, entry)) this.#dispatch.refuse(flow, entry, error);
  }

  /** Sends again the messages that now have another route, and those that had none. */
  async #detour(flow: Flow, oldest: InFlight): Promise<void> {
    if (flow.course.name === 'moving') return;
    try {
      const routes = new KnownRoutes(this.#routes, flow);
      await routes.of(oldest.message);
      for (const { message } of flow.window.all()) if (routes.known(message) === undefined) await routes.of(message);
      const elsewhere = ({ message, carrier: before }: InFlight): boolean => before !== (routes.known(message) ?? before);
      if (flow.window.find(elsewhere) !== undefined) this.#dispatch.move(flow, elsewhere);
      else flow.step({ name: 'cleared' });
    } catch (thrown) {
      const trouble = asProtoflyError(thrown);
      flow.step({ name: 'trouble', trouble });
      this.#giveUp(flow, trouble);
    }
  }

  /** Refuses messages without a carrier whose time is up. */
  #giveUp(flow: Flow, trouble: ProtoflyError): void {
    for (const entry of flow.window.all()) {
      if (entry.carrier !== undefined || this.#mayHope(flow, entry)) continue;
      this.#dispatch.refuse(flow, entry, trouble);
    }
  }
}

/** Returns one response for several messages; undefined if there are none. */
const aboutAll = (response: Response, entries: readonly InFlight[]): Response | undefined =>
  entries.length === 0 ? undefined : withIds(response, entries.map(({ message }) => message.id));

/** Present routes of one flow's messages: one for each P2P preference. */
class KnownRoutes {
  readonly #routes: DispatchComponents['routes'];
  readonly #flow: Flow;
  readonly #found = new Map<unknown, Carrier>();

  constructor(routes: DispatchComponents['routes'], flow: Flow) {
    this.#routes = routes;
    this.#flow = flow;
  }

  /** Chooses the route of a message, or returns the one found before. @throws ProtoflyError if there is none */
  async of(message: Message): Promise<Carrier> {
    const wish = message.body?.p2p;
    const known = this.#found.get(wish);
    if (known !== undefined) return known;
    const carrier = await this.#routes.route(routeRequest(message, this.#flow.to, this.#flow.avoid));
    this.#found.set(wish, carrier);
    return carrier;
  }

  /** Returns the route found by an earlier `of` with the same preference. */
  known(message: Message): Carrier | undefined {
    return this.#found.get(message.body?.p2p);
  }
}
