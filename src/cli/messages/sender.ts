import type { Address, Body, Clock, Message, RequestType, Response } from '../../protocol/index.js';
import { idsOf, isProvisional, isSuccess, outcomeOf, ProtoflyError, responseError, systemClock, type Outcome } from '../../protocol/index.js';
import type { Client } from '../../client/client.js';

/** The outcome of one message, as `--receipt` prints it. */
export interface Receipt {
  readonly id: string;
  /** The receiver. Absent if there is only one. */
  readonly to?: Address;
  readonly state: Outcome['state'];
  readonly via?: string;
  readonly rtt_ms: number;
  /** Generation of the P2P connection over which the receiver got it. */
  readonly generation?: number;
  /** Owner of the disk on which it is queued. */
  readonly stored?: 'domain' | 'runtime';
  readonly reason?: string;
}

export interface SenderComponents {
  readonly client: Client;
  /** @default the system's */
  readonly clock?: Clock;
}

export interface SenderInit {
  /** The receivers: each gets a copy of each message. */
  readonly to: readonly Address[];
  readonly from: Address;
  readonly type: RequestType;
  /** The value of `body.p2p` in each message. @default none: the current route */
  readonly p2p?: false | 'require' | undefined;
  /** True keeps messages while their receiver is away. @default false */
  readonly store?: boolean;
  /** Longest time without any receipt, in milliseconds; if given, also the time for which the runtime looks for a route. @default 30_000 */
  readonly timeoutMs?: number | undefined;
  /** Most that may be in flight, in UTF-16 code units; one message, with its copies, may exceed it. A copy counts 2 KiB at least. @default 1 MiB */
  readonly window?: number | undefined;
  /** Ends the sending. @default none */
  readonly signal?: AbortSignal;
  /** Called for each receipt, in the order in which they come. */
  readonly onReceipt?: (receipt: Receipt) => void;
}

/** Least size that a message counts: 512 messages fill 1 MiB, however small they are. */
const LEAST = 2048;

interface Entry {
  readonly to: Address;
  readonly size: number;
  readonly sentAt: number;
}

/** `over`: nothing more can come, because the link has ended, the time is up, or the signal has aborted. */
type Life =
  | { readonly kind: 'open' }
  | { readonly kind: 'over'; readonly error: ProtoflyError }
  | { readonly kind: 'closed'; readonly error: ProtoflyError | undefined };

/** Time for round trips, in fractions of a millisecond. */
const monotonic = (): number => performance.now();

/**
 * Sends messages, each with a receipt, and has no more in flight than its window. It allocates nothing per message
 * but the message itself and its place in the window. Callers wait while `hasRoom` is false.
 */
export class ProgramSender {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #init: SenderInit;
  readonly #window: number;
  readonly #inFlight = new Map<Message['id'], Entry>();
  readonly #idPrefix: string;
  #size = 0;
  #sent = 0;
  #delivered = 0;
  #failed = 0;
  #unknown = 0;
  #firstError: ProtoflyError | undefined;
  #life: Life = { kind: 'open' };
  /** True while the link asks to wait. */
  #pressed = false;
  #wake: (() => void) | undefined;
  #lastProgress: number;
  #finish: () => void = () => undefined;
  /** Resolves when nothing more can come; `over` has the reason. Never rejects. */
  readonly ended = new Promise<void>((resolve) => { this.#finish = resolve; });

  constructor({ client, clock = systemClock }: SenderComponents, init: SenderInit) {
    this.#client = client;
    this.#clock = clock;
    this.#init = init;
    this.#window = init.window ?? 1024 * 1024;
    this.#idPrefix = `${client.idPrefix}-`;
    this.#lastProgress = clock.now();
    client.onResponse((response) => { this.#settle(response); });
    void client.closed.then(({ reason }) => { this.#end(new ProtoflyError('E_LINK_CLOSED', `the runtime has gone: ${reason}`, { uncertain: true })); });
    const { signal } = init;
    if (signal?.aborted === true) this.#end(signal.reason as ProtoflyError);
    signal?.addEventListener('abort', () => { this.#end(signal.reason as ProtoflyError); }, { once: true });
    this.#watch();
  }

  /** Number of copies delivered. */
  get delivered(): number { return this.#delivered; }
  /** Number of copies refused and not delivered. */
  get failed(): number { return this.#failed; }
  /** Number of copies whose outcome is unknown: refused or given up by `close`, but possibly delivered. */
  get unknown(): number { return this.#unknown; }
  /** Number of messages sent. */
  get sent(): number { return this.#sent; }
  /** Copies in flight. */
  get inFlight(): number { return this.#inFlight.size; }
  /** The error of the first refused message. */
  get firstError(): ProtoflyError | undefined { return this.#firstError; }
  /** The reason why nothing more can come; undefined while receipts may come. */
  get over(): ProtoflyError | undefined { return this.#life.kind === 'open' ? undefined : this.#life.error; }

  /** True if one more message may be sent now. */
  get hasRoom(): boolean {
    return !this.#pressed && this.#size < this.#window;
  }

  /** Resolves when there is room, a receipt has come, or nothing more can come. Never rejects. */
  change(): Promise<void> {
    return new Promise((resolve) => { this.#wake = resolve; });
  }

  /** @param textSize size of `value` in the window. @throws ProtoflyError `over`, or `E_TOO_LARGE` */
  send(value: unknown, textSize: number): void {
    if (this.over !== undefined) throw this.over;
    const place = String(this.#sent += 1);
    this.#init.to.forEach((to, index) => { this.#sendTo(to, `${this.#idPrefix}${index === 0 ? '' : `${String(index)}-`}${place}`, value, textSize); });
  }

  #sendTo(to: Address, id: string, value: unknown, textSize: number): void {
    const size = Math.max(textSize, LEAST);
    const { from, type, p2p, store, timeoutMs } = this.#init;
    const body: Body = { value, expect: 'receipt', ...(p2p === undefined ? {} : { p2p }), ...(store === true ? { store } : {}), ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }) };
    if (this.#inFlight.size === 0) this.#lastProgress = this.#clock.now();
    this.#inFlight.set(id, { to, size, sentAt: monotonic() });
    this.#size += size;
    const backpressure = this.#post({ id, type, from, to, body });
    if (backpressure === undefined) return;
    this.#pressed = true;
    void backpressure.then(() => {
      this.#pressed = false;
      this.#rouse();
    });
  }

  /** Gives up the messages in flight: their outcome is unknown. Idempotent. */
  close(): void {
    const { over } = this;
    this.#life = { kind: 'closed', error: over };
    const reason = over?.message ?? 'given up';
    for (const [id, { to, sentAt }] of this.#inFlight) this.#count({ ...this.#named(id, to), state: 'unknown', rtt_ms: elapsed(sentAt), reason });
    this.#inFlight.clear();
    this.#size = 0;
  }

  #post(message: Message): void | Promise<void> {
    try {
      return this.#client.post(message);
    } catch (error) {
      this.#forget(message.id);
      throw error;
    }
  }

  #forget(id: Message['id']): Entry | undefined {
    const entry = this.#inFlight.get(id);
    if (entry === undefined) return undefined;
    this.#inFlight.delete(id);
    this.#size -= entry.size;
    return entry;
  }

  #settle(response: Response): void {
    if (isProvisional(response)) return;
    for (const id of idsOf(response)) {
      // Only the receiver answers for itself.
      if (this.#inFlight.get(id)?.to !== response.from) continue;
      const entry = this.#forget(id);
      if (entry !== undefined) this.#settled(id, response, entry);
    }
    this.#rouse();
  }

  #settled(id: Message['id'], response: Response, entry: Entry): void {
    this.#lastProgress = this.#clock.now();
    if (!isSuccess(response)) this.#firstError ??= responseError(response);
    this.#count({ ...this.#named(id, entry.to), ...outcome(response, entry) });
  }

  #named(id: Message['id'], to: Address): Pick<Receipt, 'id' | 'to'> {
    return { id: String(id), ...(this.#init.to.length > 1 ? { to } : {}) };
  }

  #count(receipt: Receipt): void {
    if (receipt.state === 'unknown') this.#unknown += 1;
    else if (receipt.state === 'failed') this.#failed += 1;
    else this.#delivered += 1;
    this.#init.onReceipt?.(receipt);
  }

  /** One timer for all messages: the time is up when no receipt came for `timeoutMs`. */
  #watch(): void {
    if (this.#life.kind === 'closed') return;
    const timeoutMs = this.#init.timeoutMs ?? 30_000;
    const left = this.#inFlight.size === 0 ? timeoutMs : this.#lastProgress + timeoutMs - this.#clock.now();
    if (left <= 0) {
      this.#end(new ProtoflyError('E_TIMEOUT', `no receipt for ${String(timeoutMs)} ms`, { hint: 'check that the receiver is reading and the domain is running: protofly runtime status', uncertain: true }));
      return;
    }
    if (this.#life.kind === 'open') this.#clock.setTimeout(() => { this.#watch(); }, Math.max(1, Math.min(left, timeoutMs)));
  }

  #end(error: ProtoflyError): void {
    if (this.over === undefined) this.#life = { kind: this.#life.kind === 'closed' ? 'closed' : 'over', error };
    this.#finish();
    this.#rouse();
  }

  #rouse(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

const elapsed = (since: number): number => Math.round((monotonic() - since) * 1000) / 1000;

const outcome = (response: Response, { sentAt }: Entry): Omit<Receipt, 'id' | 'to'> => {
  const { state, path, generation, stored } = outcomeOf(response);
  return {
    state,
    ...(path === undefined ? {} : { via: path }),
    rtt_ms: elapsed(sentAt),
    ...(generation === undefined ? {} : { generation }),
    ...(stored === undefined ? {} : { stored }),
    ...(isSuccess(response) ? {} : { reason: responseError(response).message }),
  };
};
