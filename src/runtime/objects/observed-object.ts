import type { Origin } from '../../bus/index.js';
import {
  asProtoflyError, child, isResponse, isSuccess, combinedBackpressure, ProtoflyError, responseError, type Address, type Message, type Backpressure,
} from '../../protocol/index.js';
import { applyChange, diff, type Change, type DataObject } from '../../protocol/data-object.js';
import { pause, type SyncContext } from './ports.js';
import { parseChange, parseSnapshot, type Snapshot } from '../../protocol/data-object-messages.js';

export interface ObservedInit {
  readonly url: Address;
  /** Called once, when the object has ended or can't be followed any longer. */
  readonly onEnd: () => void;
}

/** A change that can't be applied yet. */
interface Held {
  readonly change: Change;
  readonly version: number;
}

/**
 * `joining`: there is no copy yet. `live`: changes are applied as they come. `reading`: changes are missing, so the whole
 * object is being read; changes that come meanwhile are held.
 */
type State =
  | { readonly name: 'joining' | 'reading'; held: Held[]; overflown: boolean }
  | { readonly name: 'live' }
  | { readonly name: 'ended' };

/** Maximum number of held changes. Beyond it, the object is read once more. */
const MAX_HELD = 1000;
/** About 20 s with the pauses: a reporter's runtime may be about to reconnect to its message node. */
const READ_TRIES = 10;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5000;

/**
 * This runtime's copy of an object whose reporter lives elsewhere, shared by all its observers here. If versions are
 * missing, the object is read anew, and observers get the difference as changes.
 */
export class ObservedObject {
  readonly url: Address;
  readonly #context: SyncContext;
  readonly #init: ObservedInit;
  readonly #observers = new Set<Address>();
  readonly #ended = new AbortController();
  readonly #unlisten: () => void;
  #state: State = { name: 'joining', held: [], overflown: false };
  #object: DataObject | undefined;
  #version = 0;

  constructor(context: SyncContext, init: ObservedInit) {
    this.url = init.url;
    this.#context = context;
    this.#init = init;
    this.#unlisten = context.bus.addListener(child(init.url, 'changes'), (message, origin) => this.#receive(message, origin));
  }

  get observers(): number {
    return this.#observers.size;
  }

  has(observer: Address): boolean {
    return this.#observers.has(observer);
  }

  /**
   * Subscribes for an observer here. Changes must already be subscribed, so that none is missed.
   * @returns the object as messages carry it
   * @throws ProtoflyError as the reporter's side refuses
   */
  async join(observer: Address, schema: string): Promise<Record<string, unknown>> {
    const { bus, address, timeoutMs } = this.#context;
    let answered: number | undefined;
    try {
      const response = await bus.request(
        { type: 'subscribe', from: address, to: child(this.url, 'subscription'), body: { source: observer, schema, resource: this.url } },
        { timeoutMs, signal: this.#ended.signal },
      );
      answered = response.body.code;
      if (!isSuccess(response)) throw responseError(response);
      this.#absorb(response.body.value === undefined ? await this.#read(observer) : parseSnapshot(response.body.value));
      if (this.#object === undefined) throw new ProtoflyError('E_NOT_FOUND', `${this.url} has no content`);
      this.#ended.signal.throwIfAborted();
      this.#observers.add(observer);
      return { ...this.#object.data, version: this.#version };
    } catch (thrown) {
      // Unless the other side refused, it may have added the observer, or do so later.
      if (answered === undefined || answered < 300 || answered === 408) this.#unsubscribe(observer);
      throw this.#ended.signal.aborted ? this.#ended.signal.reason : thrown;
    }
  }

  /** Removes an observer here. Tells the reporter's side, without waiting for its answer. */
  leave(observer: Address): void {
    if (this.#observers.delete(observer)) this.#unsubscribe(observer);
  }

  /** Reads the object anew, because changes may have been missed. */
  refresh(): void {
    if (this.#state.name === 'live') this.#startReading([]);
  }

  /** Ends the copy, because the object can't be observed any more. Tells the remaining observers. Idempotent. */
  end(): void {
    if (this.#state.name === 'ended') return;
    this.#state = { name: 'ended' };
    this.#ended.abort(new ProtoflyError('E_NOT_FOUND', `${this.url} was deleted, or can't be observed any longer`));
    this.#unlisten();
    for (const observer of this.#observers) void this.#context.tell(observer, 'delete', { resource: this.url });
    this.#observers.clear();
    this.#init.onEnd();
  }

  /** Ends the observation from this side, and tells the reporter's side. Idempotent. */
  close(): void {
    for (const observer of this.#observers) this.#unsubscribe(observer);
    this.end();
  }

  #unsubscribe(source: Address): void {
    const { bus, address, nextId } = this.#context;
    void bus.post({ id: nextId(), type: 'unsubscribe', from: address, to: child(this.url, 'subscription'), body: { source, resource: this.url } });
  }

  async #read(source: Address | undefined): Promise<Snapshot> {
    const { bus, address, timeoutMs } = this.#context;
    const body = source === undefined ? {} : { source };
    const response = await bus.request({ type: 'read', from: address, to: this.url, body }, { timeoutMs, signal: this.#ended.signal });
    if (!isSuccess(response)) throw responseError(response);
    return parseSnapshot(response.body.value);
  }

  #receive(message: Message, origin: Origin | undefined): Backpressure {
    if (isResponse(message)) return undefined;
    const { type, from, body } = message;
    if (from !== this.url || !this.#context.isOutside(message, origin)) {
      throw new ProtoflyError('E_REFUSED', `only its reporter changes ${this.url}`);
    }
    // No response is expected from here on: an invalid change is only logged.
    if (type === 'delete') this.end();
    if (type !== 'update') return undefined;
    try {
      const { change, version } = parseChange(body);
      return version === undefined ? this.#takeUnversioned(change) : this.#take({ change, version });
    } catch (thrown) {
      this.#context.log('warn', `a change of ${this.url} was dropped: ${asProtoflyError(thrown).message}`);
      return undefined;
    }
  }

  /**
   * Applies a change without a version, from a plain reTHINK reporter. Order can't be checked. The copy includes all
   * changes before it.
   */
  #takeUnversioned(change: Change): Backpressure {
    return this.#object === undefined ? undefined : this.#apply(change, this.#version + 1);
  }

  #take(held: Held): Backpressure {
    const state = this.#state;
    if (state.name === 'ended') return undefined;
    if (state.name !== 'live') {
      if (state.held.length < MAX_HELD) state.held.push(held);
      else state.overflown = true;
      return undefined;
    }
    if (held.version <= this.#version) return undefined;
    if (held.version > this.#version + 1) { this.#startReading([held]); return undefined; }
    try {
      return this.#apply(held.change, held.version);
    } catch (thrown) {
      this.#startReading([]);
      throw thrown;
    }
  }

  #apply(change: Change, version: number): Backpressure {
    if (this.#object === undefined) return undefined;
    this.#object = applyChange(this.#object, change);
    this.#version = version;
    return this.#tellAll(change);
  }

  #tellAll(change: Change): Backpressure {
    return combinedBackpressure([...this.#observers].map((observer) => this.#context.tell(observer, 'update', { resource: this.url, ...change, version: this.#version })));
  }

  /** Takes over a whole object that is newer than the copy. */
  #absorb({ object, version }: Snapshot): void {
    const state = this.#state;
    const before = this.#object;
    if (state.name === 'ended' || (before !== undefined && version !== undefined && version <= this.#version)) return;
    this.#object = object;
    this.#version = version ?? this.#version;
    if (before !== undefined) for (const change of diff(before, object)) void this.#tellAll(change);
    if (state.name !== 'joining') return;
    this.#state = { name: 'live' };
    const rest = this.#drain(state.held);
    if (rest.length > 0 || state.overflown) this.#startReading(rest);
  }

  /** Applies the changes that are next in order. @returns the others, which lack an earlier one */
  #drain(held: readonly Held[]): Held[] {
    const rest: Held[] = [];
    for (const one of held.toSorted((a, b) => a.version - b.version)) {
      if (one.version <= this.#version) continue;
      if (one.version > this.#version + 1) { rest.push(one); continue; }
      try {
        void this.#apply(one.change, one.version);
      } catch (thrown) {
        this.#context.log('warn', `a change of ${this.url} was dropped: ${asProtoflyError(thrown).message}`);
        rest.push(one);
      }
    }
    return rest;
  }

  #startReading(held: Held[]): void {
    const state = { name: 'reading' as const, held, overflown: false };
    this.#state = state;
    this.#catchUp(state).catch((thrown: unknown) => { this.#context.log('warn', asProtoflyError(thrown).message); });
  }

  /** Reads until no change is missing. If the reporter's side can't be read any more, the observation ends. */
  async #catchUp(state: State & { name: 'reading' }): Promise<void> {
    const { clock, log } = this.#context;
    let failures = 0;
    for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(wait * 2, LONGEST_PAUSE_MS)) {
      // Changes held before the request are included in the answer, or were never valid.
      const [asked] = this.#observers;
      const before = state.held.length;
      state.overflown = false;
      const snapshot = await this.#read(asked).catch((thrown: unknown) => asProtoflyError(thrown));
      if (this.#state !== state) return;
      if (!(snapshot instanceof ProtoflyError)) {
        failures = 0;
        state.held.splice(0, before);
        this.#absorb(snapshot);
        state.held = this.#drain(state.held);
        if (state.held.length === 0 && !state.overflown) { this.#state = { name: 'live' }; return; }
      } else {
        failures += 1;
        log('warn', `${this.url} could not be read: ${snapshot.message}`);
        if (snapshot.code === 'E_REFUSED' || failures === READ_TRIES) { this.end(); return; }
      }
      await pause(clock, wait, this.#ended.signal);
    }
  }
}
