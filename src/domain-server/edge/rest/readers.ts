import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ThroughputEstimator } from '../../../link/throughput.js';
import { takenFrom } from '../../../link/throughput.js';
import type { Clock, Timer } from '../../../protocol/index.js';
import { HEADERS, writeJson } from './answers.js';
import type { Ledger } from './ledger.js';
import type { RestLimits } from './limits.js';
import type { Numbered, Unacknowledged, Reader } from './send-queue.js';
import { nextAckDeadline, type AckDeadline } from './ack-deadline.js';

const CURSOR = 'protofly-cursor';

export interface ReaderComponents {
  readonly response: ServerResponse;
  readonly clock: Clock;
  /** Called when the reader leaves, by itself or because its client has gone. */
  readonly onLeave: (reader: Reader) => void;
}

/** Calls `done` once, with true if everything written has left. */
const whenOut = (response: ServerResponse, done: (left: boolean) => void): ((left: boolean) => void) => {
  let over = false;
  const once = (left: boolean): void => {
    if (over) return;
    over = true;
    response.off('close', onClose);
    done(left);
  };
  const onClose = (): void => { once(false); };
  response.on('close', onClose);
  return once;
};

const progressOf = (response: ServerResponse): number => (response.socket === null ? 0 : takenFrom(response.socket as Duplex));

/** Destroys a response whose client doesn't read the rest within `lingerMs`. */
const lingering = (response: ServerResponse, clock: Clock, lingerMs: number): void => {
  const timer = clock.setTimeout(() => { response.destroy(); }, lingerMs);
  response.once('close', () => { timer.cancel(); });
};

export interface PollInit {
  readonly waitMs: number;
  /** Returns the cursor of an empty answer. */
  readonly cursor: () => number;
  readonly lingerMs: number;
}

/** A GET that is answered once, with a list. */
export class Poll implements Reader {
  readonly once = true;
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #init: PollInit;
  readonly #timer: Timer | undefined;
  #answered = false;

  constructor({ response, clock, onLeave }: ReaderComponents, init: PollInit) {
    this.#response = response;
    this.#clock = clock;
    this.#init = init;
    if (init.waitMs > 0) this.#timer = clock.setTimeout(() => { onLeave(this); this.end(); }, init.waitMs);
    response.once('close', () => {
      this.#timer?.cancel();
      onLeave(this);
    });
  }

  write(frames: readonly Numbered[], done: (left: boolean) => void): void {
    this.#timer?.cancel();
    if (this.#answered || this.#response.destroyed) { setImmediate(() => { done(false); }); return; }
    this.#answered = true;
    const out = whenOut(this.#response, done);
    this.#response.once('finish', () => { out(true); });
    writeJson(this.#response, 200, `[${frames.map(({ frame }) => frame).join(',')}]`, { [CURSOR]: String(frames.at(-1)?.number) });
  }

  progress(): number {
    return progressOf(this.#response);
  }

  end(): void {
    this.#timer?.cancel();
    if (!this.#answered) writeJson(this.#response, 200, '[]', { [CURSOR]: String(this.#init.cursor()) });
    this.#answered = true;
    if (!this.#response.writableFinished) lingering(this.#response, this.#clock, this.#init.lingerMs);
  }
}

export interface EventStreamComponents extends ReaderComponents {
  /** The link whose messages the stream carries. */
  readonly link: {
    readonly ledger: Pick<Ledger, 'slowest'>;
    /** The messages that the client was given and should acknowledge. */
    readonly unacknowledged: Unacknowledged | undefined;
    drop(reason: string): void;
  };
}

export type EventStreamInit = Pick<RestLimits, 'heartbeatMs' | 'lingerMs' | 'acknowledgeMs'>;

/** Number of heartbeats without any acknowledgement after which a client counts as gone. */
const MAX_SILENT = 4;
/** Number of checks within `acknowledgeMs`, and the longest interval between them. */
const TICKS = 5;
const TICK_MS = 1000;

/** A GET that never ends: a stream of server-sent events. */
export class EventStream implements Reader {
  readonly once = false;
  readonly #components: EventStreamComponents;
  readonly #response: ServerResponse;
  readonly #init: EventStreamInit;
  readonly #pace: ThroughputEstimator;
  #timer: Timer | undefined;
  #due = 0;
  /** Time until the next heartbeat, in milliseconds. */
  #beatMs: number;
  #ended = false;
  #writing = false;
  #given = 0;
  #ackDeadline: AckDeadline = { name: 'even' };

  constructor(components: EventStreamComponents, init: EventStreamInit) {
    const { response, clock, onLeave } = components;
    this.#components = components;
    this.#response = response;
    this.#init = init;
    this.#pace = new ThroughputEstimator(0, clock.now());
    this.#beatMs = init.heartbeatMs;
    response.once('close', () => {
      this.#timer?.cancel();
      onLeave(this);
    });
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
    response.write(': this is protofly\n\n');
    this.#arm();
  }

  write(frames: readonly Numbered[], done: (left: boolean) => void): void {
    if (this.#ended || this.#response.destroyed) { setImmediate(() => { done(false); }); return; }
    let text = '';
    for (const { number, frame, size } of frames) {
      text += `id: ${String(number)}\ndata: ${oneLine(frame)}\n\n`;
      this.#given += size;
    }
    this.#writing = true;
    const out = whenOut(this.#response, (left) => {
      this.#writing = false;
      done(left);
    });
    this.#response.write(text, (error) => { out(error === undefined || error === null); });
    if (this.#ackDeadline.name === 'even' && this.#components.link.unacknowledged !== undefined) this.#look(0);
  }

  progress(): number {
    return progressOf(this.#response);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#response.end();
    if (!this.#response.writableFinished) lingering(this.#response, this.#components.clock, this.#init.lingerMs);
  }

  /** Sets the timer for the next heartbeat, or earlier while an acknowledgement is missing. */
  #arm(): void {
    const { clock } = this.#components;
    const wait = this.#ackDeadline.name === 'owing' ? Math.min(this.#beatMs, this.#init.acknowledgeMs / TICKS, TICK_MS) : this.#beatMs;
    this.#timer?.cancel();
    this.#due = clock.now() + wait;
    this.#timer = clock.setTimeout(() => {
      this.#beat(wait);
      this.#look(clock.now() - this.#due);
    }, wait);
  }

  #beat(passed: number): void {
    this.#beatMs -= passed;
    if (this.#beatMs > 0) return;
    this.#beatMs = this.#init.heartbeatMs;
    if (!this.#writing) this.#response.write(':\n\n');
  }

  /** Checks whether the client has acknowledged what it was given. */
  #look(lateMs: number): void {
    const { clock, link } = this.#components;
    const { heartbeatMs, acknowledgeMs } = this.#init;
    const { ledger, unacknowledged } = link;
    const now = clock.now();
    const longest = MAX_SILENT * heartbeatMs;
    const patienceMs = ledger.slowest === undefined ? longest : Math.min(Math.max(acknowledgeMs, 2 * ledger.slowest), longest) + this.#pace.inFlightMs(this.#given);
    const { owing, tookMs } = nextAckDeadline(this.#ackDeadline, { now, lateMs, first: unacknowledged?.first, taken: this.progress(), pending: this.#writing, patienceMs });
    this.#ackDeadline = owing;
    if (tookMs !== undefined) {
      if (ledger.slowest !== undefined) ledger.slowest = Math.max(ledger.slowest, tookMs);
      this.#pace.arrived(this.#given - (unacknowledged?.bytes ?? 0), now);
    }
    if (owing.name !== 'overdue') { this.#arm(); return; }
    this.#response.destroy();
    if (ledger.slowest !== undefined) link.drop(`it acknowledged nothing of what it was given for ${String(Math.round(patienceMs / 1000))} s`);
  }
}

/** Returns a frame as one line of an event stream. There, a carriage return ends a line, too. */
const oneLine = (frame: string): string => (frame.includes('\r') || frame.includes('\n') ? JSON.stringify(JSON.parse(frame)) : frame);
