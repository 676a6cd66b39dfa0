import { isSuccess, ProtoflyError, responseError, systemClock, type Clock, type ErrorCode, type Response } from '../../protocol/index.js';
import type { Source } from './source.js';
import { acceptedOf, chunkValue, endValue, offerValue, WINDOW_CHUNKS, type Accepted } from './wire.js';

export interface FileSenderComponents {
  readonly source: Source;
  /**
   * Sends a value to the receiver's program and resolves with its final response, whatever its code.
   * @throws ProtoflyError `E_TIMEOUT`, `E_LINK_CLOSED`
   */
  readonly request: (value: unknown, timeoutMs: number) => Promise<Response>;
  /** @default the system clock */
  readonly clock?: Clock;
}

export interface FileSenderInit {
  /** Longest time without progress, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number | undefined;
  /** Time without any response after which the receiver is asked where to continue, in milliseconds. @default 3000 */
  readonly stallMs?: number;
  /** Called with the number of bytes that the receiver has. */
  readonly onProgress?: ((sent: number) => void) | undefined;
  /** Aborts the transfer. @default none */
  readonly signal?: AbortSignal | undefined;
}

export interface SentFile {
  readonly size: number;
  readonly sha256: string;
  /** The number of bytes that the receiver already had when the file was offered. */
  readonly resumedFrom: number;
  readonly seconds: number;
  /** The path by which most bytes arrived, as reported by the receiver's runtime: `p2p`, `msg-node` or `local`. */
  readonly via: string | undefined;
}

/** Time for a program to answer an offer, in milliseconds. */
const OFFER_MS = 10_000;
/** Pause before the file is offered again, in milliseconds. */
const AGAIN_MS = 300;
/** Assumed rate at which the receiver hashes the whole file, in bytes per second. */
const HASH_RATE = 20 * 1024 * 1024;

/** Errors that may pass. `E_NOT_FOUND` is one of them only after the address has existed. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['E_UNAVAILABLE', 'E_UNREACHABLE', 'E_TIMEOUT', 'E_TOO_MANY', 'E_NOT_FOUND']);
const isPassing = (thrown: unknown): boolean => thrown instanceof ProtoflyError && PASSING.has(thrown.code);

const HINT = 'receive files there: protofly msg tail NAME --save DIR';

/** The state of one run of chunks. `inFlight` is the number of chunks in flight. */
interface Run {
  inFlight: number;
  heard: number;
  over: boolean;
  wake: (() => void) | undefined;
}

/**
 * Sends one file to one receiver. The receiver acknowledges each chunk once written. If acknowledgements stop, the
 * sender asks where to continue, until there has been no progress for `timeoutMs`.
 */
export class FileSender {
  readonly #source: Source;
  readonly #request: FileSenderComponents['request'];
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #stallMs: number;
  readonly #init: FileSenderInit;
  /** Time of the last progress at the receiver. */
  #progressed: number;
  /** The number of bytes that the receiver has acknowledged. */
  #had = 0;
  /** The number of bytes that arrived by each path, as far as responses report it. */
  readonly #ways = new Map<string, number>();
  /** Time allowed for the receiver's final check, in milliseconds. 0 until the check has begun. */
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

  /** The number of bytes that the receiver is known to have. */
  get had(): number {
    return this.#had;
  }

  /**
   * @throws ProtoflyError `E_UNAVAILABLE` if no receiver takes the file, `E_CONFLICT` if the file changed while it
   * was sent, or the receiver's refusal
   */
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
        // The receiver's part wasn't the beginning of this file, and the receiver has deleted it.
        const spoilt = thrown instanceof ProtoflyError && thrown.code === 'E_CONFLICT' && !fresh && !(await this.#source.changed());
        if (!spoilt && !isPassing(thrown)) throw await this.#explained(thrown);
        if (spoilt) fresh = true;
        accepted = await this.#again(thrown);
        fresh ||= accepted.offset === 0;
      }
    }
  }

  /** Makes the first offer. Repeats it only after a timeout, since the offer or its response may be lost. */
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

  /** Offers the file until a receiver accepts it. @throws the last error, when the time is up */
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
    // The receiver may have lost its part.
    if (accepted.offset < this.#had) this.#had = accepted.offset;
    this.#told(accepted.offset);
    return accepted;
  }

  /** Sends all missing chunks, and waits until they are written. */
  async #chunks({ transfer, offset }: Accepted): Promise<void> {
    const run: Run = { inFlight: 0, heard: this.#clock.now(), over: false, wake: undefined };
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
      while (run.inFlight >= WINDOW_CHUNKS && !run.over) await change();
      if (run.over) return;
      const bytes = await this.#source.read(at);
      if (bytes.length === 0) break;
      if (run.inFlight === 0) run.heard = this.#clock.now();
      run.inFlight += 1;
      const end = at + bytes.length;
      void this.#ask(chunkValue({ kind: 'chunk', transfer, offset: at, bytes }), this.#timeoutMs).then((response) => {
        this.#came(response, bytes.length);
        run.inFlight -= 1;
        run.heard = this.#clock.now();
        if (!run.over) this.#told(end);
        run.wake?.();
      }, stop);
      at = end;
    }
    while (run.inFlight > 0 && !run.over) await change();
  }

  /** Ends a run in which no response has come for `stallMs`. */
  #watch(run: Run, stop: (error: unknown) => void): void {
    if (run.over) return;
    const left = run.inFlight === 0 ? this.#stallMs : run.heard + this.#stallMs - this.#clock.now();
    if (left <= 0) { stop(new ProtoflyError('E_TIMEOUT', `no answer for ${String(this.#stallMs)} ms`)); return; }
    this.#clock.setTimeout(() => { this.#watch(run, stop); }, Math.max(left, 1));
  }

  /**
   * Has the receiver check the whole file. If the response is lost, asks once more. If the receiver no longer knows
   * the transfer, the file must be offered again.
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

  /** Counts acknowledged bytes by their path. */
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

  /** Explains why no receiver accepted the offer. */
  #unwanted(thrown: unknown): unknown {
    if (!(thrown instanceof ProtoflyError)) return thrown;
    if (thrown.code === 'E_TIMEOUT') return new ProtoflyError('E_UNAVAILABLE', 'no program at the other end answers the offer of a file', { hint: HINT, cause: thrown });
    return thrown.code === 'E_UNAVAILABLE' && thrown.hint === undefined ? new ProtoflyError(thrown.code, thrown.message, { hint: HINT, cause: thrown }) : thrown;
  }

  async #explained(thrown: unknown): Promise<unknown> {
    if (!(thrown instanceof ProtoflyError) || thrown.code !== 'E_CONFLICT' || !(await this.#source.changed())) return thrown;
    return new ProtoflyError('E_CONFLICT', `${this.#source.name} has changed while it was sent`, { hint: 'send it again when nobody writes to it', cause: thrown });
  }
}
