import { isSuccess, ProtoflyError, responseError, systemClock, type Clock, type ErrorCode, type Response } from '../../protocol/index.js';
import type { Source } from './source.js';
import { acceptedOf, chunkValue, endValue, offerValue, WINDOW_CHUNKS, type Accepted } from './wire.js';

export interface FileSenderComponents {
  readonly source: Source;
  /** Sends a value to the receiver's program and resolves with its final answer, whatever that is. @throws ProtoflyError `E_TIMEOUT`, `E_LINK_CLOSED` */
  readonly request: (value: unknown, timeoutMs: number) => Promise<Response>;
  /** @default the system's */
  readonly clock?: Clock;
}

export interface FileSenderInit {
  /** How long there may be no progress, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number | undefined;
  /** How long no answer may come to anything before the receiver is asked where to go on, in milliseconds. @default 3000 */
  readonly stallMs?: number;
  readonly onProgress?: ((sent: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SentFile {
  readonly size: number;
  readonly sha256: string;
  /** How much the receiver had of it when it was offered. */
  readonly resumedFrom: number;
  readonly seconds: number;
  /** The way by which most of it came in, as the receiver's runtime says: `p2p`, `msg-node` or `local`. */
  readonly via: string | undefined;
}

/** How long a program may take to answer an offer, in milliseconds. */
const OFFER_MS = 10_000;
/** How long to wait before the receiver is looked for again. */
const AGAIN_MS = 300;
/** How many bytes a second the receiver's disk is believed to read, when it hashes the whole. */
const HASH_RATE = 20 * 1024 * 1024;

/** What may be better in a moment. That there is no such address may too, once there was one. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['E_UNAVAILABLE', 'E_UNREACHABLE', 'E_TIMEOUT', 'E_TOO_MANY', 'E_NOT_FOUND']);
const isPassing = (thrown: unknown): boolean => thrown instanceof ProtoflyError && PASSING.has(thrown.code);

const HINT = 'receive files there: protofly msg tail NAME --save DIR';

/** Chunks under way, and the first thing that went wrong with one. */
interface Run {
  outstanding: number;
  heard: number;
  over: boolean;
  wake: (() => void) | undefined;
}

/**
 * Sends one file to one receiver. The receiver answers each chunk when it has written it; where answers stop coming it
 * is asked where to go on, until there has been no progress for `timeoutMs`.
 */
export class FileSender {
  readonly #source: Source;
  readonly #request: FileSenderComponents['request'];
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #stallMs: number;
  readonly #init: FileSenderInit;
  /** When the receiver last had more than before. */
  #progressed: number;
  /** How much it has, as far as it has told. */
  #had = 0;
  /** How many bytes came in by which way, as far as answers tell. */
  readonly #ways = new Map<string, number>();
  /** How long its check of the whole may take, in milliseconds, once that has begun. */
  #checkMs = 0;

  constructor({ source, request, clock = systemClock }: FileSenderComponents, init: FileSenderInit = {}) {
    this.#source = source;
    this.#request = request;
    this.#clock = clock;
    this.#timeoutMs = init.timeoutMs ?? 30_000;
    this.#stallMs = Math.min(init.stallMs ?? 3000, this.#timeoutMs);
    this.#init = init;
    this.#progressed = clock.now();
  }

  /** How much the receiver is known to have. */
  get had(): number {
    return this.#had;
  }

  /** @throws ProtoflyError `E_UNAVAILABLE` when nobody takes it, `E_CONFLICT` when it changed meanwhile, and as the receiver refuses */
  async send(): Promise<SentFile> {
    const started = this.#clock.now();
    let accepted = await this.#first().catch((thrown: unknown) => { throw this.#unwanted(thrown); });
    const resumedFrom = accepted.offset;
    this.#progressed = this.#clock.now();
    for (let fresh = accepted.offset === 0; ;) {
      try {
        await this.#chunks(accepted);
        const { size, sha256 } = await this.#end(accepted);
        return { size, sha256, resumedFrom, seconds: (this.#clock.now() - started) / 1000, via: this.#via() };
      } catch (thrown) {
        // What the receiver had wasn't the beginning of this file, and it has thrown that away.
        const spoilt = thrown instanceof ProtoflyError && thrown.code === 'E_CONFLICT' && !fresh && !(await this.#source.changed());
        if (!spoilt && !isPassing(thrown)) throw await this.#explained(thrown);
        if (spoilt) fresh = true;
        accepted = await this.#again(thrown);
        fresh ||= accepted.offset === 0;
      }
    }
  }

  /** Offers the file to somebody who should be there: only that the offer, or its answer, was lost is no reason to give up. */
  async #first(): Promise<Accepted> {
    const until = this.#clock.now() + Math.min(OFFER_MS, this.#timeoutMs);
    for (let wait = this.#stallMs; ; wait *= 2) {
      const left = until - this.#clock.now();
      try {
        return await this.#offer(Math.min(wait, left));
      } catch (thrown) {
        if (!(thrown instanceof ProtoflyError) || thrown.code !== 'E_TIMEOUT' || left <= wait) throw thrown;
      }
    }
  }

  /** Offers the file until somebody takes it. @throws what kept it from being taken, when the time is up */
  async #again(reason: unknown): Promise<Accepted> {
    let why = reason;
    for (let wait = this.#stallMs; ; wait = Math.min(wait * 2, OFFER_MS)) {
      const left = this.#progressed + this.#timeoutMs + this.#checkMs - this.#clock.now();
      if (left <= 0) throw why;
      try {
        return await this.#offer(Math.min(wait, left));
      } catch (thrown) {
        if (!isPassing(thrown)) throw thrown;
        why = thrown;
      }
      await this.#pause(Math.min(AGAIN_MS, this.#stallMs));
    }
  }

  async #offer(timeoutMs: number): Promise<Accepted> {
    const { id, name, size, sha256 } = this.#source;
    const response = await this.#ask(offerValue({ kind: 'offer', id, name, ...(size === undefined ? {} : { size }), ...(sha256 === undefined ? {} : { sha256 }) }), timeoutMs);
    const accepted = acceptedOf(response.body.value);
    if (accepted === undefined || (size !== undefined && accepted.offset > size)) throw new ProtoflyError('E_REFUSED', 'the program at the other end takes no files', { hint: HINT });
    // It may have lost what it had.
    if (accepted.offset < this.#had) this.#had = accepted.offset;
    this.#told(accepted.offset);
    return accepted;
  }

  /** Sends all that is missing, and waits until it is written. */
  async #chunks({ transfer, offset }: Accepted): Promise<void> {
    const run: Run = { outstanding: 0, heard: this.#clock.now(), over: false, wake: undefined };
    let stop: (error: unknown) => void = () => undefined;
    const failed = new Promise<never>((_, reject) => { stop = reject as (error: unknown) => void; });
    failed.catch(() => undefined);
    const onAbort = (): void => { stop(this.#init.signal?.reason); };
    this.#init.signal?.addEventListener('abort', onAbort);
    if (this.#init.signal?.aborted === true) onAbort();
    this.#watch(run, stop);
    try {
      await Promise.race([this.#pump(run, transfer, offset, stop), failed]);
    } finally {
      run.over = true;
      run.wake?.();
      this.#init.signal?.removeEventListener('abort', onAbort);
    }
  }

  async #pump(run: Run, transfer: string, offset: number, stop: (error: unknown) => void): Promise<void> {
    const change = (): Promise<void> => new Promise((resolve) => { run.wake = resolve; });
    for (let at = offset; ;) {
      while (run.outstanding >= WINDOW_CHUNKS && !run.over) await change();
      if (run.over) return;
      const bytes = await this.#source.read(at);
      if (bytes.length === 0) break;
      if (run.outstanding === 0) run.heard = this.#clock.now();
      run.outstanding += 1;
      const end = at + bytes.length;
      void this.#ask(chunkValue({ kind: 'chunk', transfer, offset: at, bytes }), this.#timeoutMs).then((response) => {
        this.#came(response, bytes.length);
        run.outstanding -= 1;
        run.heard = this.#clock.now();
        if (!run.over) this.#told(end);
        run.wake?.();
      }, stop);
      at = end;
    }
    while (run.outstanding > 0 && !run.over) await change();
  }

  /** Ends a run in which nothing is heard. */
  #watch(run: Run, stop: (error: unknown) => void): void {
    if (run.over) return;
    const left = run.outstanding === 0 ? this.#stallMs : run.heard + this.#stallMs - this.#clock.now();
    if (left <= 0) { stop(new ProtoflyError('E_TIMEOUT', `no answer for ${String(this.#stallMs)} ms`)); return; }
    this.#clock.setTimeout(() => { this.#watch(run, stop); }, Math.max(left, 1));
  }

  /**
   * The receiver checks the whole. Where its answer is lost it is asked again; only when it doesn't know this transfer
   * any more has it to be offered anew.
   */
  async #end({ transfer }: Accepted): Promise<{ readonly size: number; readonly sha256: string }> {
    const digest = this.#source.digest();
    this.#checkMs = (digest.size / HASH_RATE) * 1000;
    for (let attempt = 0; ; attempt++) {
      try {
        this.#came(await this.#ask(endValue({ kind: 'end', transfer, ...digest }), Math.min(this.#stallMs * 2 ** attempt, OFFER_MS)), 0);
        return digest;
      } catch (thrown) {
        if (!(thrown instanceof ProtoflyError) || thrown.code !== 'E_TIMEOUT' || attempt === 1) throw thrown;
      }
    }
  }

  async #ask(value: unknown, timeoutMs: number): Promise<Response> {
    const response = await this.#request(value, timeoutMs);
    if (!isSuccess(response)) throw responseError(response);
    return response;
  }

  /** So many bytes of the file have been answered. */
  #came({ body: { path } }: Response, bytes: number): void {
    if (path === 'p2p' || path === 'msg-node' || path === 'local') this.#ways.set(path, (this.#ways.get(path) ?? 0) + bytes);
  }

  #via(): string | undefined {
    return [...this.#ways].reduce<readonly [string | undefined, number]>((most, way) => (way[1] > most[1] ? way : most), [undefined, -1])[0];
  }

  #told(offset: number): void {
    if (offset <= this.#had) return;
    this.#had = offset;
    this.#progressed = this.#clock.now();
    this.#source.release(offset);
    this.#init.onProgress?.(offset);
  }

  #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#init;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => { timer.cancel(); reject(signal?.reason as Error); };
      const timer = this.#clock.setTimeout(() => { signal?.removeEventListener('abort', onAbort); resolve(); }, milliseconds);
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Why nobody took the offer, in words that help. */
  #unwanted(thrown: unknown): unknown {
    if (!(thrown instanceof ProtoflyError)) return thrown;
    if (thrown.code === 'E_TIMEOUT') return new ProtoflyError('E_UNAVAILABLE', 'nobody at the other end answers the offer of a file', { hint: HINT, cause: thrown });
    return thrown.code === 'E_UNAVAILABLE' && thrown.hint === undefined ? new ProtoflyError(thrown.code, thrown.message, { hint: HINT, cause: thrown }) : thrown;
  }

  async #explained(thrown: unknown): Promise<unknown> {
    if (!(thrown instanceof ProtoflyError) || thrown.code !== 'E_CONFLICT' || !(await this.#source.changed())) return thrown;
    return new ProtoflyError('E_CONFLICT', `${this.#source.name} has changed while it was sent`, { hint: 'send it again when nobody writes to it', cause: thrown });
  }
}
