import type { Link } from '../../../link/link.js';
import { encodeMessage, ProtoflyError, type Address, type Clock, type Message, type Backpressure, type Timer } from '../../../protocol/index.js';
import type { NodeLimits } from './limits.js';

/** The bytes that wait in this process, for all sessions together. */
export interface Budget {
  bytes: number;
}

/** What carries a session's messages: a link, and a number that changes when bytes leave it and stays while none do. */
export interface Carrier {
  readonly link: Link<Message>;
  readonly taken: () => number;
  /** Where the other side says what it has: what it was sent and hasn't, in order, for the next carrier. Ends the link's use. */
  readonly leftovers?: (() => readonly Leftover[]) | undefined;
}

/** A message that waits, with its size as a frame. */
export interface Leftover {
  readonly message: Message;
  readonly bytes: number;
  /** The other side may have it: it was sent there, and nothing was heard. @default false */
  readonly inDoubt?: boolean;
}

/** What holds senders up while the link is congested. */
interface Relief {
  readonly promise: Promise<void>;
  end(): void;
}

type State =
  | { readonly at: 'attached'; readonly carrier: Carrier; held: boolean; relief?: Relief }
  | { readonly at: 'away'; readonly timer: Timer }
  | { readonly at: 'ended' };

/** A receiver that reads, but very slowly, holds its senders up for at most this many times `stallMs`. */
const MAX_LOOKS = 12;

export interface SessionComponents {
  readonly clock: Clock;
  readonly limits: NodeLimits;
  readonly budget: Budget;
  /** The runtime has been away for too long. */
  readonly onExpired: (session: Session) => void;
  /** The runtime doesn't read. The session is away by then. */
  readonly onStalled: (session: Session, link: Link<Message>) => void;
  /** From now on messages are sent at once: what has to go before those that waited is sent now. */
  readonly onFlowing?: (session: Session) => void;
}

/**
 * One runtime's session, with or without its connection. While the runtime is away messages wait for it, as long and
 * as many as the limits say. @see docs/protocol.md, "Message-node session"
 */
export class Session {
  readonly runtime: Address;
  /** Hash of the token, in hex. */
  tokenHash: string;
  /** Addresses from before the last `open` that the runtime hasn't asked for again: the first to go when there are too many. */
  readonly inherited = new Set<Address>();
  readonly allocations = new Set<Address>();
  /** By key in the store: one for each address and subscriber. */
  readonly subscriptions = new Map<string, { readonly address: Address; readonly subscriber: Address }>();
  readonly #components: SessionComponents;
  #state: State;
  #waiting: Leftover[] = [];
  #waitingBytes = 0;

  constructor(components: SessionComponents, init: { readonly runtime: Address; readonly tokenHash: string }) {
    this.#components = components;
    this.runtime = init.runtime;
    this.tokenHash = init.tokenHash;
    this.#state = this.#away();
  }

  get attached(): boolean {
    return this.#state.at === 'attached';
  }

  /** Whether messages are sent at once. */
  get flowing(): boolean {
    return this.#state.at === 'attached' && !this.#state.held;
  }

  get ended(): boolean {
    return this.#state.at === 'ended';
  }

  get link(): Link<Message> | undefined {
    return this.#state.at === 'attached' ? this.#state.carrier.link : undefined;
  }

  /**
   * From now on messages are for this link. None is sent before `flush`, so that an answer can go first.
   * @returns the link that the session had before
   */
  attach(carrier: Carrier): Link<Message> | undefined {
    const before = this.link === carrier.link ? undefined : this.link;
    if (before !== undefined) this.#reclaim();
    this.#leave();
    this.#state = { at: 'attached', carrier, held: true };
    return before;
  }

  /** The link is gone: the session waits for its runtime. A link that isn't the session's is ignored. */
  detach(link: Link<Message>): void {
    if (this.link !== link) return;
    this.#reclaim();
    this.#leave();
    this.#state = this.#away();
  }

  /** Releases what it holds. @returns what waited */
  end(): readonly Leftover[] {
    this.#reclaim();
    this.#leave();
    this.#state = { at: 'ended' };
    return this.#take();
  }

  /**
   * @returns backpressure of the runtime's link
   * @throws ProtoflyError `E_UNREACHABLE` when too much waits already, `E_TOO_LARGE`
   */
  deliver(message: Message): Backpressure {
    const state = this.#state;
    if (state.at !== 'attached' || state.held) { this.#wait(message); return undefined; }
    try {
      const backpressure = state.carrier.link.send(message);
      return backpressure === undefined ? undefined : this.#hold(state, backpressure);
    } catch (thrown) {
      if (!(thrown instanceof ProtoflyError) || thrown.code !== 'E_LINK_CLOSED') throw thrown;
      this.detach(state.carrier.link);
      this.#wait(message);
      return undefined;
    }
  }

  /** Sends what waited, and from now on everything at once. */
  flush(): void {
    if (this.#state.at === 'attached') {
      this.#state.held = false;
      this.#components.onFlowing?.(this);
    }
    for (const { message } of this.#take()) {
      try {
        void this.deliver(message);
      } catch {
        // One that is refused now (too large for this link) was accepted from its sender already: there is nobody to tell.
      }
    }
  }

  #wait(message: Message): void {
    const { limits, budget } = this.#components;
    const bytes = Buffer.byteLength(encodeMessage(message));
    if (this.ended) throw new ProtoflyError('E_NOT_FOUND', `the session of ${this.runtime} has ended`);
    if (this.#waiting.length >= limits.waitingPerSession || this.#waitingBytes + bytes > limits.waitingBytesPerSession || budget.bytes + bytes > limits.waitingBytes) {
      throw new ProtoflyError('E_UNREACHABLE', `${this.runtime} is away, and too much waits for it already`);
    }
    this.#waiting.push({ message, bytes });
    this.#waitingBytes += bytes;
    budget.bytes += bytes;
  }

  /** What was sent and not taken waits again, before everything else. It was accepted once: the limits don't refuse it now. */
  #reclaim(): void {
    const leftovers = this.#state.at === 'attached' ? this.#state.carrier.leftovers?.() ?? [] : [];
    if (leftovers.length === 0) return;
    this.#waiting = [...leftovers, ...this.#waiting];
    for (const { bytes } of leftovers) {
      this.#waitingBytes += bytes;
      this.#components.budget.bytes += bytes;
    }
  }

  #take(): readonly Leftover[] {
    const taken = this.#waiting;
    this.#waiting = [];
    this.#components.budget.bytes -= this.#waitingBytes;
    this.#waitingBytes = 0;
    return taken;
  }

  #away(): State {
    const { clock, limits, onExpired } = this.#components;
    return { at: 'away', timer: clock.setTimeout(() => { onExpired(this); }, limits.sessionTtlMs) };
  }

  #leave(): void {
    if (this.#state.at === 'away') this.#state.timer.cancel();
    if (this.#state.at === 'attached') this.#state.relief?.end();
  }

  /** One promise for all senders, which settles when the link has drained or is the session's no more. */
  #hold(state: State & { at: 'attached' }, backpressure: Promise<void>): Promise<void> {
    if (state.relief !== undefined) return state.relief.promise;
    let settle: () => void = () => undefined;
    const promise = new Promise<void>((resolve) => { settle = resolve; });
    const stop = this.#watch(state.carrier);
    const relief: Relief = {
      promise,
      end: () => {
        if (state.relief === relief) delete state.relief;
        stop();
        settle();
      },
    };
    state.relief = relief;
    void backpressure.then(() => { relief.end(); });
    return promise;
  }

  /** Lets go of a carrier on which nothing moves, or that has been congested for much too long. @returns stops watching */
  #watch(carrier: Carrier): () => void {
    const { clock, limits, onStalled } = this.#components;
    let taken = carrier.taken();
    let looks = 0;
    const look = (): void => {
      if (this.link !== carrier.link) return;
      const now = carrier.taken();
      looks += 1;
      if (now !== taken && looks < MAX_LOOKS) {
        taken = now;
        timer = clock.setTimeout(look, limits.stallMs);
        return;
      }
      this.detach(carrier.link);
      onStalled(this, carrier.link);
    };
    let timer = clock.setTimeout(look, limits.stallMs);
    return () => { timer.cancel(); };
  }
}
