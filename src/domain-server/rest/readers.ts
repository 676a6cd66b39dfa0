import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { takenFrom } from '../../link/taken.js';
import type { Clock, Timer } from '../../protocol/index.js';
import { HEADERS, writeJson } from './answers.js';
import type { Numbered, Reader } from './outbox.js';

export const CURSOR = 'protofly-cursor';

export interface ReaderComponents {
  readonly response: ServerResponse;
  readonly clock: Clock;
  /** It wants no more, of itself or because its client has gone. */
  readonly onLeave: (reader: Reader) => void;
}

/** Calls back once: whether all that was written has left. */
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

/** Destroys a response whose client doesn't take what is left of it. */
const lingering = (response: ServerResponse, clock: Clock, lingerMs: number): void => {
  const timer = clock.setTimeout(() => { response.destroy(); }, lingerMs);
  response.once('close', () => { timer.cancel(); });
};

export interface PollInit {
  readonly waitMs: number;
  /** The cursor of an empty answer. */
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

export interface EventStreamInit {
  readonly heartbeatMs: number;
  readonly lingerMs: number;
  /** The first message that the client was given and should have acknowledged. */
  readonly outstanding: () => number | undefined;
}

/** A client that acknowledges nothing of what it has been given for that many heartbeats may be gone without a word. */
const MAX_SILENT = 4;

/** A GET that is never finished: a stream of server-sent events. */
export class EventStream implements Reader {
  readonly once = false;
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #init: EventStreamInit;
  #timer: Timer | undefined;
  #ended = false;
  #writing = false;
  #outstanding: number | undefined;
  #silent = 0;

  constructor({ response, clock, onLeave }: ReaderComponents, init: EventStreamInit) {
    this.#response = response;
    this.#clock = clock;
    this.#init = init;
    response.once('close', () => {
      this.#timer?.cancel();
      onLeave(this);
    });
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
    response.write(': this is protofly\n\n');
    this.#beat();
  }

  write(frames: readonly Numbered[], done: (left: boolean) => void): void {
    if (this.#ended || this.#response.destroyed) { setImmediate(() => { done(false); }); return; }
    let text = '';
    for (const { number, frame } of frames) text += `id: ${String(number)}\ndata: ${oneLine(frame)}\n\n`;
    this.#writing = true;
    const out = whenOut(this.#response, (left) => {
      this.#writing = false;
      done(left);
    });
    this.#response.write(text, (error) => { out(error === undefined || error === null); });
  }

  progress(): number {
    return progressOf(this.#response);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#response.end();
    if (!this.#response.writableFinished) lingering(this.#response, this.#clock, this.#init.lingerMs);
  }

  #beat(): void {
    this.#timer = this.#clock.setTimeout(() => {
      const outstanding = this.#init.outstanding();
      this.#silent = outstanding !== undefined && outstanding === this.#outstanding ? this.#silent + 1 : 0;
      this.#outstanding = outstanding;
      if (this.#silent >= MAX_SILENT) { this.#response.destroy(); return; }
      if (!this.#writing) this.#response.write(':\n\n');
      this.#beat();
    }, this.#init.heartbeatMs);
  }
}

/** A frame as one line of an event stream, where a carriage return ends a line too. */
const oneLine = (frame: string): string => (frame.includes('\r') || frame.includes('\n') ? JSON.stringify(JSON.parse(frame)) : frame);
