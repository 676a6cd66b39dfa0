import { asProtoflyError, MAX_MESSAGE_BYTES, ProtoflyError, roughSize, systemClock, type Backpressure, type Timer } from '../../protocol/index.js';
import { Fifo } from '../../kit/fifo.js';
import { closedError } from '../frame-link.js';
import { FrameReader } from '../frame-reader.js';
import { LINK_DEFAULTS, type Link, type LinkEnd, type LinkInit, type LinkStats } from '../link.js';
import { DrainSignal } from '../../kit/drain-signal.js';

interface Held<T> {
  readonly item: T;
  readonly size: number;
}

type State =
  | { readonly at: 'open' }
  /** Closed here; the other side still takes sent items. */
  | { readonly at: 'flushing'; readonly end: LinkEnd; readonly timer: Timer }
  /** Closed by the other side; received items are still being given to the receiver. */
  | { readonly at: 'draining'; readonly end: LinkEnd }
  | { readonly at: 'ended'; readonly end: LinkEnd };

/**
 * One end of a pair. Sent items wait at the other end. They are given out in a microtask, never from within
 * `send`.
 */
class MemoryEnd<T> implements Link<T> {
  readonly name: string;
  readonly closed: Promise<LinkEnd>;
  readonly stats: LinkStats = { sent: 0, received: 0, rejected: 0 };
  readonly #init: LinkInit;
  readonly #inlet: FrameReader<T>;
  readonly #held = new Fifo<Held<T>>();
  /** Releases the other end's sender. */
  readonly #relief = new DrainSignal();
  #heldBytes = 0;
  #scheduled = false;
  #peer: MemoryEnd<T> | undefined;
  #state: State = { at: 'open' };
  #settle: (end: LinkEnd) => void = () => undefined;

  constructor(name: string, init: LinkInit) {
    this.name = name;
    this.#init = init;
    this.closed = new Promise((resolve) => { this.#settle = resolve; });
    this.#inlet = new FrameReader<T>({
      pull: () => this.#pull(),
      onIdle: () => { this.#emptied(); },
      onBlocked: () => undefined,
      onReject: (error) => { this.#reject(error); },
    }, this.stats);
  }

  static pair<T>(init: LinkInit): [MemoryEnd<T>, MemoryEnd<T>] {
    const name = init.name ?? 'memory';
    const one = new MemoryEnd<T>(`${name} a`, init);
    const other = new MemoryEnd<T>(`${name} b`, init);
    one.#peer = other;
    other.#peer = one;
    return [one, other];
  }

  send(item: T): Backpressure {
    if (this.#state.at !== 'open' || this.#peer === undefined) throw closedError(this.name, this.#state.at === 'open' ? 'it has no other end' : this.#state.end.reason);
    const { maxFrame = MAX_MESSAGE_BYTES, maxBuffered = LINK_DEFAULTS.maxBuffered } = this.#init;
    const size = roughSize(item);
    if (size > maxFrame) throw new ProtoflyError('E_TOO_LARGE', `${String(size)} bytes don't fit into a frame of at most ${String(maxFrame)}`);
    if (this.#peer.#heldBytes > maxBuffered) {
      const reason = `more than ${String(maxBuffered)} bytes wait to be taken`;
      this.#end({ how: 'gone', reason });
      throw closedError(this.name, reason);
    }
    this.stats.sent += 1;
    return this.#peer.#take(item, size);
  }

  receive(receiver: (item: T) => Backpressure): void {
    this.#inlet.receive(receiver);
    this.#schedule();
  }

  async close(reason = 'closed here'): Promise<void> {
    if (this.#state.at === 'open' || this.#state.at === 'draining') {
      this.#inlet.stop();
      this.#drop();
      const timer = (this.#init.clock ?? systemClock).setTimeout(() => {
        this.#end({ how: 'gone', reason: `the other side didn't take everything (${reason})` });
      }, this.#init.lingerMs ?? LINK_DEFAULTS.lingerMs);
      this.#state = { at: 'flushing', end: { how: 'closed', reason }, timer };
      if (this.#peer !== undefined) this.#peer.#peerClosed({ how: 'closed', reason });
    }
    await this.closed;
  }

  #take(item: T, size: number): Backpressure {
    // An end that is closing drops further items, so that the other side can go on.
    if (this.#state.at !== 'open') return undefined;
    this.#held.push({ item, size });
    this.#heldBytes += size;
    this.#schedule();
    return this.#heldBytes > LINK_DEFAULTS.highWater ? this.#relief.wait() : undefined;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#inlet.pump();
    });
  }

  #pull(): T | undefined {
    const held = this.#held.shift();
    if (held === undefined) return undefined;
    this.#heldBytes -= held.size;
    if (this.#heldBytes <= LINK_DEFAULTS.highWater / 2) this.#relief.release();
    return held.item;
  }

  /** Called when all items from the other side have been taken. */
  #emptied(): void {
    if (this.#state.at === 'draining') this.#end(this.#state.end);
  }

  #peerClosed(end: LinkEnd): void {
    if (this.#state.at === 'flushing') this.#end(this.#state.end);
    else if (this.#state.at === 'open' && this.#held.length === 0) this.#end(end);
    else if (this.#state.at === 'open') this.#state = { at: 'draining', end };
  }

  #reject(error: ProtoflyError): void {
    this.stats.rejected += 1;
    try {
      this.#init.onReject?.(error);
    } catch (thrown) {
      this.#end({ how: 'gone', reason: `its owner failed: ${asProtoflyError(thrown).message}` });
    }
  }

  #drop(): void {
    this.#held.clear();
    this.#heldBytes = 0;
    this.#relief.release();
  }

  #end(end: LinkEnd): void {
    if (this.#state.at === 'ended') return;
    if (this.#state.at === 'flushing') this.#state.timer.cancel();
    this.#state = { at: 'ended', end };
    this.#inlet.stop();
    this.#drop();
    this.#settle(end);
    const peer = this.#peer;
    if (peer === undefined) return;
    if (end.how === 'gone') peer.#end({ how: 'gone', reason: end.reason });
    else if (peer.#state.at === 'flushing') peer.#end(peer.#state.end);
  }
}

/**
 * Creates two links within one process that lead to each other. Items are handed over uncopied, so a sender
 * must not change them afterwards. An item's size is roughly its size as JSON.
 */
export const memoryPair = <T>(init: LinkInit = {}): [Link<T>, Link<T>] => MemoryEnd.pair<T>(init);
