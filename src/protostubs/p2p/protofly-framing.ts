import { ProtoflyError, type Message, type Backpressure } from '../../protocol/index.js';
import { FramePump } from './frame-pump.js';
import type { Framing, FramingComponents, FramingStats, Stopped } from './framing.js';
import { Goodbye, isComplete, nextLife, type Life, type LifeEvent } from './goodbye.js';
import { HealthMonitor } from './health.js';
import { ChannelReceiveQueue } from './receive-queue.js';
import { ChannelSendQueue } from './send-queue.js';
import { FramingViolation, RecordWriter, readFrame, type FrameRecord } from './records.js';

/** A side that takes messages sends something at least this often, in milliseconds, so that the sender knows they arrive. */
const SIGN_MS = 450;
/** Nonce of a pong that answers no ping. */
const SIGN = 0;
/** Time for the side that said goodbye first to close the channel, in milliseconds. */
const GOODBYE_MS = 1000;

/** When this side last sent a frame. `owing`: messages have come since. */
type Speech =
  | { readonly kind: 'even'; readonly spokeAt: number }
  | { readonly kind: 'owing'; readonly spokeAt: number };

/** The framing `protofly/1`. records.ts has its format, goodbye.ts its end. */
export class ProtoflyFraming implements Framing {
  readonly stats: FramingStats = { sent: 0, received: 0, rejected: 0 };
  readonly #components: FramingComponents;
  readonly #health: HealthMonitor;
  readonly #outbox: ChannelSendQueue;
  readonly #inbox: ChannelReceiveQueue;
  readonly #writer: RecordWriter;
  readonly #pump: FramePump;
  /** Nonces to answer. */
  readonly #pongs: number[] = [];
  /** Nonce to ask with. */
  #ping: number | undefined;
  #life: Life = { kind: 'open' };
  #speech: Speech;

  constructor(components: FramingComponents) {
    const { clock, log, maxFrame, deliver } = components;
    this.#components = components;
    this.#outbox = new ChannelSendQueue(maxFrame);
    this.#writer = new RecordWriter(maxFrame);
    this.#pump = new FramePump({ next: () => this.#next(), send: (frame) => this.#sendFrame(frame), log });
    this.#inbox = new ChannelReceiveQueue({ deliver, log, stats: this.stats, onCredit: () => { this.#pump.schedule(); } });
    this.#speech = { kind: 'even', spokeAt: clock.now() };
    this.#health = new HealthMonitor({
      clock,
      ask: (nonce) => {
        this.#ping = nonce;
        this.#pump.schedule();
      },
      onTick: () => { this.#sign(); },
      onReport: components.onHealth,
      onDead: (reason) => { this.#end(reason); },
    });
  }

  send(message: Message): Backpressure {
    if (this.#life.kind !== 'open') throw new ProtoflyError('E_LINK_CLOSED', 'the connection is closing');
    const backpressure = this.#outbox.add(message);
    this.stats.sent += 1;
    this.#health.used();
    this.#pump.schedule();
    return backpressure;
  }

  receive(frame: string | Uint8Array): void {
    if (this.#isOver) return;
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
    this.#pump.drained();
  }

  probe(patienceMs: number): void {
    if (!this.#isOver) this.#health.probe(patienceMs);
  }

  finish(lingerMs: number): Promise<boolean> {
    const life = this.#life;
    if ('goodbye' in life && life.goodbye !== undefined) return life.goodbye.promise;
    if (this.#isOver) return Promise.resolve(false);
    const goodbye = new Goodbye(this.#components.clock, lingerMs);
    this.#step({ kind: 'finish', goodbye });
    return goodbye.promise;
  }

  stop(): Stopped {
    this.#step({ kind: 'stop' });
    return { unsent: this.#outbox.clear(), delivered: this.#inbox.stop() };
  }

  /** True once the framing has ended or was stopped: nothing is sent or taken any more. */
  get #isOver(): boolean {
    return this.#life.kind === 'ended' || this.#life.kind === 'stopped';
  }

  /** Makes every change of state, and what follows from it. */
  #step(event: LifeEvent): void {
    const before = this.#life;
    const life = nextLife(before, event);
    if (life === before) return;
    this.#life = life;
    switch (life.kind) {
      case 'open':
        break;
      case 'closing':
        if (event.kind === 'finish') this.#pump.flush();
        break;
      case 'leaving':
        if (event.kind === 'fin-came') this.#components.onLeaving('closed by the other side');
        break;
      case 'finished':
        if (event.kind !== 'fin-ack-written') life.goodbye?.settle(true);
        break;
      case 'ended':
      case 'stopped':
        this.#health.stop();
        if (before.kind === 'finished') before.timer?.cancel();
        life.goodbye?.settle(isComplete(before));
    }
  }

  #take(record: FrameRecord): void {
    if (this.#isOver) return;
    switch (record.kind) {
      case 'messages':
      case 'begin':
      case 'chunk':
        if (this.#speech.kind === 'even') this.#speech = { kind: 'owing', spokeAt: this.#speech.spokeAt };
        this.#health.used();
        this.#inbox.take(record);
        return;
      case 'credit':
        if (!this.#outbox.credit(record.window, record.bulk)) throw new FramingViolation('credit for what was never sent');
        this.#pump.schedule();
        return;
      case 'ping':
        if (this.#pongs.length >= 16) throw new FramingViolation('pings without end');
        this.#pongs.push(record.nonce);
        this.#pump.schedule();
        return;
      case 'pong':
        this.#health.answered(record.nonce);
        return;
      case 'fin':
        this.#step({ kind: 'fin-came' });
        this.#pump.flush();
        return;
      case 'fin-ack':
        if (this.#life.kind !== 'closing' || this.#life.fin !== 'said') throw new FramingViolation('FIN-ACK without FIN');
        this.#step({ kind: 'fin-ack-came' });
    }
  }

  #sendFrame(frame: Uint8Array): boolean {
    this.#speech = { kind: 'even', spokeAt: this.#components.clock.now() };
    return this.#components.sendFrame(frame);
  }

  /** Writes the next frame: credit, pongs and pings first, then messages, then the goodbye. */
  #next(): Uint8Array | undefined {
    if (this.#isOver) return undefined;
    const writer = this.#writer;
    const due = this.#inbox.takeDue();
    if (due !== undefined) writer.credit(due.window, due.bulk);
    for (const nonce of this.#pongs.splice(0)) writer.pingOrPong('pong', nonce);
    if (this.#ping !== undefined) {
      writer.pingOrPong('ping', this.#ping);
      this.#ping = undefined;
    }
    const control = writer.take();
    if (control !== undefined) return control;
    if (this.#outbox.isEmpty) this.#sayGoodbye(this.#life);
    else this.#outbox.write(writer);
    return writer.take();
  }

  #sayGoodbye(life: Life): void {
    if (life.kind === 'closing' && life.fin === 'due') {
      this.#writer.fin(false);
      this.#step({ kind: 'fin-written' });
    } else if (life.kind === 'closing' && life.answer === 'due') {
      this.#writer.fin(true);
      this.#step({ kind: 'fin-ack-written', timer: undefined });
    } else if (life.kind === 'leaving') {
      this.#writer.fin(true);
      // The other side closes the channel when it has this; closing it here would lose it.
      const timer = this.#components.clock.setTimeout(() => { this.#end('closed by the other side'); }, GOODBYE_MS);
      this.#step({ kind: 'fin-ack-written', timer });
    }
  }

  /** Sends a pong if messages have come and nothing was sent for a while. */
  #sign(): void {
    const { kind, spokeAt } = this.#speech;
    if (kind === 'even' || this.#pongs.length > 0 || this.#components.clock.now() - spokeAt < SIGN_MS) return;
    this.#pongs.push(SIGN);
    this.#pump.schedule();
  }

  #end(reason: string): void {
    if (this.#isOver) return;
    this.#step({ kind: 'end' });
    this.#components.onEnd(reason);
  }
}
