import { asProtoflyError, type Clock, type Message, type Backpressure, type ProtoflyError, type Timer } from '../../protocol/index.js';
import { Fifo } from '../../kit/fifo.js';
import { checkedSize, closedError } from '../frame-link.js';
import { FrameReader } from '../frame-reader.js';
import type { Codec, Link, LinkEnd, LinkStats } from '../link.js';
import { DrainSignal } from '../../kit/drain-signal.js';
import { closeFrame, creditFrame, MAX_CREDIT, messagePrefix } from './frames.js';

/** The methods of a mux that its channels use. */
export interface ChannelHost {
  /** Pending while the link below exerts backpressure. */
  readonly congestion: Promise<void> | undefined;
  /** @throws ProtoflyError if the link below has ended */
  write(frame: string): void;
  /** Calls `channel.flushOne` when the link below has room, and repeats it while that returns true. */
  park(channel: Channel): void;
  /** Removes a channel that has ended. */
  forget(channel: Channel): void;
}

export interface ChannelInit {
  readonly clock: Clock;
  readonly codec: Codec<Message>;
  readonly window: number;
  readonly maxFrame: number;
  readonly highWater: number;
  readonly maxBuffered: number;
  readonly lingerMs: number;
  readonly onReject: ((error: ProtoflyError, text?: string) => void) | undefined;
}

type State =
  | { readonly at: 'open' }
  /** Closed by the other side; received messages are still being given to the receiver. */
  | { readonly at: 'draining'; readonly end: LinkEnd }
  /** Closed here; accepted messages wait for credit. */
  | { readonly at: 'flushing'; readonly end: LinkEnd; readonly timer: Timer }
  | { readonly at: 'ended'; readonly end: LinkEnd };

/**
 * One channel of a mux. It may send while it has credit. The last message may exceed the credit, so any message
 * fits.
 */
export class Channel implements Link<Message> {
  readonly name: string;
  readonly closed: Promise<LinkEnd>;
  readonly stats: LinkStats = { sent: 0, received: 0, rejected: 0 };
  /** The channel's number as this side writes it. */
  readonly key: number;
  readonly #host: ChannelHost;
  readonly #init: ChannelInit;
  readonly #prefix: string;
  readonly #inlet: FrameReader<Message>;
  /** Send queue: messages that wait for credit or for the link below. */
  readonly #queue = new Fifo<string>();
  readonly #relief = new DrainSignal();
  #queued = 0;
  /** Remaining credit: how much the other side still takes, in code units. */
  #credit: number;
  /** Received messages that the receiver hasn't been given yet. */
  readonly #held = new Fifo<string>();
  /** Receive window left: code units that the other side may still send. */
  #allowance: number;
  #inHand = 0;
  #taken = 0;
  #state: State = { at: 'open' };
  #settle: (end: LinkEnd) => void = () => undefined;

  constructor({ host, key, name, credit }: { host: ChannelHost; key: number; name: string; credit: number }, init: ChannelInit) {
    this.name = name;
    this.key = key;
    this.#host = host;
    this.#init = init;
    this.#prefix = messagePrefix(key);
    this.#credit = credit;
    this.#allowance = init.window;
    this.closed = new Promise((resolve) => { this.#settle = resolve; });
    this.#inlet = new FrameReader<Message>({
      pull: () => this.#pull(),
      onTaken: () => { this.#take(this.#inHand); },
      onIdle: () => { if (this.#state.at === 'draining') this.end(this.#state.end); },
      onBlocked: () => undefined,
      onReject: (error) => { this.#reject(error); },
    }, this.stats);
  }

  send(item: Message): Backpressure {
    if (this.#state.at !== 'open') throw closedError(this.name, this.#state.end.reason);
    const json = this.#init.codec.encode(item);
    checkedSize(json, this.#init.maxFrame);
    if (this.#credit > 0 && this.#queue.length === 0 && this.#host.congestion === undefined) {
      this.#host.write(this.#prefix + json);
      this.#credit -= json.length;
      this.stats.sent += 1;
      return this.#host.congestion;
    }
    return this.#enqueue(json);
  }

  receive(receiver: (item: Message) => Backpressure): void {
    this.#inlet.receive(receiver);
    this.#inlet.pump();
  }

  async close(reason = 'closed here'): Promise<void> {
    if (this.#state.at === 'open' || this.#state.at === 'draining') {
      const draining = this.#state.at === 'draining';
      this.#inlet.stop();
      this.#held.clear();
      if (draining) this.end({ how: 'closed', reason });
      else this.#flushAndEnd({ how: 'closed', reason });
    }
    await this.closed;
  }

  /** Writes one queued message. @returns true if another can follow */
  flushOne(): boolean {
    if (this.#credit <= 0) return false;
    const json = this.#queue.shift();
    if (json === undefined) return false;
    this.#queued -= json.length;
    this.#credit -= json.length;
    try {
      this.#host.write(this.#prefix + json);
    } catch (thrown) {
      this.#dropQueue();
      const error = asProtoflyError(thrown);
      if (error.code !== 'E_LINK_CLOSED') this.fail(error.message);
      return false;
    }
    if (this.#queued <= this.#init.highWater / 2) this.#relief.release();
    if (this.#queue.length > 0) return this.#credit > 0;
    if (this.#state.at === 'flushing') this.#part(this.#state.end);
    return false;
  }

  /** Handles an incoming message. */
  onMessage(json: string): void {
    if (this.#allowance <= 0) {
      this.fail('more was sent than there was credit for');
      return;
    }
    this.#allowance -= json.length;
    if (this.#state.at !== 'open') {
      // Messages in flight when we closed are dropped. Their credit is granted again, so the other side can go
      // on.
      this.#take(json.length);
      return;
    }
    this.#held.push(json);
    this.#inlet.pump();
  }

  /** Adds credit that the other side granted. */
  onCredit(amount: number): void {
    this.#credit += amount;
    if (this.#credit > MAX_CREDIT) this.fail('more credit was granted than there is');
    if (this.#queue.length > 0) this.#host.park(this);
  }

  /** Handles the other side's close. */
  onClose(reason: string): void {
    if (this.#state.at === 'flushing') this.end(this.#state.end);
    if (this.#state.at !== 'open') return;
    this.#drain({ how: 'closed', reason });
  }

  /** Handles the end of the link below. Messages already received are still given to the receiver. */
  onLinkEnd(end: LinkEnd): void {
    if (this.#state.at === 'open') this.#drain(end);
    else if (this.#state.at !== 'draining') this.end(this.#state.at === 'flushing' && this.#queue.length === 0 ? this.#state.end : end);
  }

  /** Ends the channel after a violation, and tells the other side. */
  fail(reason: string): void {
    this.#tell(closeFrame(this.key, reason));
    this.end({ how: 'gone', reason });
  }

  /** Ends at once, without telling the other side. */
  end(end: LinkEnd): void {
    if (this.#state.at === 'ended') return;
    if (this.#state.at === 'flushing') this.#state.timer.cancel();
    this.#state = { at: 'ended', end };
    this.#inlet.stop();
    this.#held.clear();
    this.#host.forget(this);
    this.#dropQueue();
    this.#settle(end);
  }

  #enqueue(json: string): Backpressure {
    if (this.#queued > this.#init.maxBuffered) {
      const reason = `more than ${String(this.#init.maxBuffered)} bytes wait to be sent`;
      this.fail(reason);
      throw closedError(this.name, reason);
    }
    this.#queue.push(json);
    this.#queued += json.length;
    this.stats.sent += 1;
    if (this.#credit > 0) this.#host.park(this);
    return this.#queued > this.#init.highWater ? this.#relief.wait() : undefined;
  }

  #pull(): Message | undefined {
    for (let json = this.#held.shift(); json !== undefined; json = this.#held.shift()) {
      try {
        checkedSize(json, this.#init.maxFrame);
        const message = this.#init.codec.decode(json);
        this.#inHand = json.length;
        return message;
      } catch (thrown) {
        this.#take(json.length);
        this.#reject(asProtoflyError(thrown), json);
      }
    }
    return undefined;
  }

  /** Grants credit for messages that were taken, in large pieces. */
  #take(amount: number): void {
    this.#taken += amount;
    if (this.#taken * 2 < this.#init.window || this.#state.at === 'ended' || this.#state.at === 'draining') return;
    this.#allowance += this.#taken;
    this.#tell(creditFrame(this.key, this.#taken));
    this.#taken = 0;
  }

  #flushAndEnd(end: LinkEnd): void {
    const timer = this.#init.clock.setTimeout(() => { this.fail(`the other side didn't take everything (${end.reason})`); }, this.#init.lingerMs);
    this.#state = { at: 'flushing', end, timer };
    if (this.#queue.length === 0) this.#part(end);
  }

  #part(end: LinkEnd): void {
    this.#tell(closeFrame(this.key, end.reason));
    this.end(end);
  }

  #drain(end: LinkEnd): void {
    if (this.#held.length === 0) {
      this.end(end);
      return;
    }
    this.#state = { at: 'draining', end };
    this.#dropQueue();
  }

  /** Writes a frame that needs no credit. Ignores a link that has ended: `onLinkEnd` follows. */
  #tell(frame: string): void {
    try {
      this.#host.write(frame);
    } catch (thrown) {
      if (asProtoflyError(thrown).code !== 'E_LINK_CLOSED') throw thrown;
    }
  }

  #dropQueue(): void {
    this.#queue.clear();
    this.#queued = 0;
    this.#relief.release();
  }

  #reject(error: ProtoflyError, text?: string): void {
    this.stats.rejected += 1;
    try {
      this.#init.onReject?.(error, text);
    } catch (thrown) {
      this.fail(`its owner failed: ${asProtoflyError(thrown).message}`);
    }
  }
}
