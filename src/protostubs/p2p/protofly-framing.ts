import { ProtoflyError, type Message, type Backpressure, type Timer } from '../../protocol/index.js';
import type { Framing, FramingComponents, FramingStats, Stopped } from './framing.js';
import { HealthMonitor, type HealthMonitorInit } from './health.js';
import { ChannelReceiveQueue } from './inbox.js';
import { ChannelSendQueue } from './outbox.js';
import { FramingViolation, FrameWriter, readFrame, type FrameRecord } from './records.js';

/** Whoever takes messages says something at least this often, in milliseconds: who sends many sees that they arrive. */
const SIGN_MS = 450;
/** No question has this nonce. */
const SIGN = 0;
/** How long the side that said goodbye first has to close the channel. */
const GOODBYE_MS = 1000;

/**
 * `open` → `closing` (we said FIN, or are about to) or `leaving` (the other side did) → `finished` (both have
 * everything) → `stopped`.
 */
type State = 'open' | 'closing' | 'leaving' | 'finished' | 'stopped';

/** The framing `protofly/1`; records.ts has its format. */
export class ProtoflyFraming implements Framing {
  readonly stats: FramingStats = { sent: 0, received: 0, rejected: 0 };
  readonly #components: FramingComponents;
  readonly #health: HealthMonitor;
  readonly #outbox: ChannelSendQueue;
  readonly #inbox: ChannelReceiveQueue;
  readonly #writer: FrameWriter;
  readonly #pongs: number[] = [];
  #state: State = 'open';
  #blocked = false;
  #flushing = false;
  #scheduled = false;
  #creditDue = false;
  #ping: number | undefined;
  /** Messages have come and nothing has been said since. */
  #owesSign = false;
  #finSent = false;
  /** The other side said FIN while we were closing. */
  #acknowledge = false;
  #ended = false;
  #goodbye: Timer | undefined;
  #lastSent: number;
  #finishing: { readonly promise: Promise<boolean>; readonly settle: (complete: boolean) => void } | undefined;

  constructor(components: FramingComponents, init: HealthMonitorInit = {}) {
    this.#components = components;
    this.#outbox = new ChannelSendQueue(components.maxFrame);
    this.#writer = new FrameWriter(components.maxFrame);
    this.#inbox = new ChannelReceiveQueue({
      deliver: components.deliver,
      log: components.log,
      stats: this.stats,
      onCredit: () => { this.#creditDue = true; this.#schedule(); },
    });
    this.#lastSent = components.clock.now();
    this.#health = new HealthMonitor({
      clock: components.clock,
      ask: (nonce) => {
        this.#ping = nonce;
        this.#schedule();
      },
      onTick: () => { this.#sign(); },
      onReport: components.onHealth,
      onDead: (reason) => { this.#end(reason); },
    }, init);
  }

  send(message: Message): Backpressure {
    if (this.#state !== 'open') throw new ProtoflyError('E_LINK_CLOSED', 'the connection is closing');
    const backpressure = this.#outbox.add(message);
    this.stats.sent += 1;
    this.#health.used();
    // What is sent in one go travels in one frame.
    this.#schedule();
    return backpressure;
  }

  receive(frame: string | Uint8Array): void {
    if (this.#state === 'stopped') return;
    this.#health.heard();
    try {
      if (typeof frame === 'string') throw new FramingViolation('a text frame');
      for (const record of readFrame(frame)) this.#take(record);
    } catch (thrown) {
      if (thrown instanceof FramingViolation) this.#end(`the other side broke the framing: ${thrown.message}`);
      else this.#end(`the framing failed: ${String(thrown)}`);
    }
  }

  drained(): void {
    // The channel empties only as far as the other side acknowledges.
    this.#health.heard();
    this.#blocked = false;
    this.#flush();
  }

  probe(patienceMs: number): void {
    if (this.#state !== 'stopped') this.#health.probe(patienceMs);
  }

  finish(lingerMs: number): Promise<boolean> {
    if (this.#finishing !== undefined) return this.#finishing.promise;
    if (this.#state === 'stopped') return Promise.resolve(false);
    let settle: (complete: boolean) => void = () => undefined;
    const promise = new Promise<boolean>((resolve) => {
      const timer = this.#components.clock.setTimeout(() => { resolve(false); }, lingerMs);
      settle = (complete) => { timer.cancel(); resolve(complete); };
    });
    this.#finishing = { promise, settle };
    if (this.#state === 'finished') settle(true);
    else if (this.#state === 'open') {
      this.#state = 'closing';
      this.#flush();
    }
    return promise;
  }

  stop(): Stopped {
    const complete = this.#state === 'finished';
    this.#state = 'stopped';
    this.#health.stop();
    this.#goodbye?.cancel();
    this.#finishing?.settle(complete);
    return { unsent: this.#outbox.clear(), delivered: this.#inbox.stop() };
  }

  #take(record: FrameRecord): void {
    if (this.#state === 'stopped') return;
    switch (record.kind) {
      case 'messages':
      case 'begin':
      case 'chunk':
        this.#owesSign = true;
        this.#health.used();
        this.#inbox.take(record);
        return;
      case 'credit':
        if (!this.#outbox.credit(record.window, record.bulk)) throw new FramingViolation('credit for what was never sent');
        this.#schedule();
        return;
      case 'ping':
        if (this.#pongs.length >= 16) throw new FramingViolation('pings without end');
        this.#pongs.push(record.nonce);
        this.#schedule();
        return;
      case 'pong':
        this.#health.answered(record.nonce);
        return;
      case 'fin':
        // Both may say it at once; then each answers the other's as well.
        if (this.#state === 'closing') this.#acknowledge = true;
        if (this.#state === 'open') {
          this.#state = 'leaving';
          this.#components.onLeaving('closed by the other side');
        }
        this.#flush();
        return;
      case 'fin-ack':
        if (this.#state !== 'closing' || !this.#finSent) throw new FramingViolation('FIN-ACK without FIN');
        this.#state = 'finished';
        this.#finishing?.settle(true);
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#blocked || this.#flushing) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** Sends frames until nothing is left to send or the channel is full. */
  #flush(): void {
    if (this.#flushing || this.#blocked || this.#state === 'stopped') return;
    this.#flushing = true;
    try {
      for (let frame = this.#next(); frame !== undefined; frame = this.#next()) {
        this.#lastSent = this.#components.clock.now();
        this.#owesSign = false;
        if (!this.#components.sendFrame(frame)) {
          this.#blocked = true;
          break;
        }
      }
    } catch (thrown) {
      // The channel is gone; whoever owns it is told of that by the channel.
      this.#blocked = true;
      this.#components.log('debug', `a frame was not sent: ${String(thrown)}`);
    } finally {
      this.#flushing = false;
    }
  }

  #next(): Uint8Array | undefined {
    const writer = this.#writer;
    if (this.#creditDue) {
      this.#creditDue = false;
      const { window, bulk } = this.#inbox.takeDue();
      if (window + bulk > 0) writer.credit(window, bulk);
    }
    for (const nonce of this.#pongs.splice(0)) writer.pingOrPong('pong', nonce);
    if (this.#ping !== undefined) {
      writer.pingOrPong('ping', this.#ping);
      this.#ping = undefined;
    }
    const control = writer.take();
    if (control !== undefined) return control;
    if (!this.#outbox.isEmpty) {
      this.#outbox.write(writer);
      return writer.take();
    }
    if (this.#state === 'closing' && !this.#finSent) {
      this.#finSent = true;
      writer.fin(false);
    } else if (this.#state === 'closing' && this.#acknowledge) {
      this.#acknowledge = false;
      writer.fin(true);
    } else if (this.#state === 'leaving') {
      this.#state = 'finished';
      writer.fin(true);
      // The other side closes the channel when it has this; closing it here would lose it.
      this.#goodbye = this.#components.clock.setTimeout(() => { this.#end('closed by the other side'); }, GOODBYE_MS);
    }
    return writer.take();
  }

  /** Whoever is told a lot and has nothing to say shows that it listens. */
  #sign(): void {
    if (!this.#owesSign || this.#pongs.length > 0 || this.#components.clock.now() - this.#lastSent < SIGN_MS) return;
    this.#pongs.push(SIGN);
    this.#schedule();
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#components.onEnd(reason);
  }
}
