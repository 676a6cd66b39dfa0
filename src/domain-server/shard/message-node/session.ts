import type { Link } from '../../../link/link.js';
import { encodeMessage, ProtoflyError, type Address, type Clock, type Message, type Backpressure, type Timer } from '../../../protocol/index.js';
import { ANYBODY, type Standing } from '../members/standing.js';
import type { NodeLimits } from './limits.js';

/** The bytes queued in this process, for all sessions together. */
export interface Budget {
  bytes: number;
}

/** The carrier of a session's messages: a link, and a number that changes when bytes leave it and only then. */
export interface SessionLink {
  readonly link: Link<Message>;
  readonly taken: () => number;
  /** The holder of the shares that the client uses. @default limited by the totals alone */
  readonly holder?: string | undefined;
  /**
   * Ends the link's use, and returns the messages sent but not acknowledged, in order, for the next carrier. Only on
   * links with acknowledgements.
   */
  readonly leftovers?: (() => readonly Leftover[]) | undefined;
}

/** A queued message, with its size as a frame. */
export interface Leftover {
  readonly message: Message;
  readonly bytes: number;
  /** True if the message was sent without an acknowledgement, so that the other side may have it. @default false */
  readonly inDoubt?: boolean;
}

/** The backpressure on senders while the link is congested. */
interface Relief {
  readonly promise: Promise<void>;
  end(): void;
}

type State =
  | { readonly at: 'attached'; readonly carrier: SessionLink; held: boolean; relief?: Relief }
  | { readonly at: 'away'; readonly timer: Timer }
  | { readonly at: 'ended' };

/** Limit of the backpressure of a slow receiver, as a multiple of `stallMs`. */
const MAX_LOOKS = 12;

export interface SessionComponents {
  readonly clock: Clock;
  readonly limits: NodeLimits;
  readonly budget: Budget;
  /** Called when the runtime has been away for too long. */
  readonly onExpired: (session: Session) => void;
  /** Called when the runtime doesn't read. By then the session is detached. */
  readonly onStalled: (session: Session, link: Link<Message>) => void;
  /** Called when the session starts to send directly. Messages that must precede the queued ones are sent here. */
  readonly onFlowing?: (session: Session) => void;
}

/**
 * The session of one runtime, with or without a connection. While the runtime is away, messages are queued within the
 * limits.
 * @see docs/protocol.md, "Message-node session"
 */
export class Session {
  readonly runtime: Address;
  /** The holder of the shares that this session uses. Undefined: limited by the totals alone. Set by the directory. */
  holder: string | undefined;
  /** SHA-256 of the token, in hex. */
  tokenHash: string;
  /** Its rights. Set by the directory. */
  standing: Standing;
  /**
   * Addresses allocated before the last `open` that the runtime hasn't requested again. They are released first if
   * there are too many.
   */
  readonly inherited = new Set<Address>();
  readonly allocations = new Set<Address>();
  /** Subscriptions by store key: one for each address and subscriber. */
  readonly subscriptions = new Map<string, { readonly address: Address; readonly subscriber: Address }>();
  readonly #components: SessionComponents;
  #state: State;
  #waiting: Leftover[] = [];
  #waitingBytes = 0;

  constructor(components: SessionComponents, init: { readonly runtime: Address; readonly tokenHash: string; readonly holder?: string | undefined; readonly standing?: Standing | undefined }) {
    this.#components = components;
    this.runtime = init.runtime;
    this.holder = init.holder;
    this.tokenHash = init.tokenHash;
    this.standing = init.standing ?? ANYBODY;
    this.#state = this.#away();
  }

  get attached(): boolean {
    return this.#state.at === 'attached';
  }

  /** True if messages are sent directly. */
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
   * Makes this link the carrier of the session. Nothing is sent before `flush`, so that a response can go first.
   * @returns the previous link of the session
   */
  attach(carrier: SessionLink): Link<Message> | undefined {
    const before = this.link === carrier.link ? undefined : this.link;
    if (before !== undefined) this.#reclaim();
    this.#leave();
    this.#state = { at: 'attached', carrier, held: true };
    return before;
  }

  /** Marks the runtime as away, because the link has ended. Ignores links of other sessions. */
  detach(link: Link<Message>): void {
    if (this.link !== link) return;
    this.#reclaim();
    this.#leave();
    this.#state = this.#away();
  }

  /** Starts anew the time after which a session without its runtime expires. */
  expireLater(): void {
    if (this.#state.at !== 'away') return;
    this.#leave();
    this.#state = this.#away();
  }

  /** Ends the session and releases its resources. @returns the queued messages */
  end(): readonly Leftover[] {
    this.#reclaim();
    this.#leave();
    this.#state = { at: 'ended' };
    return this.#take();
  }

  /**
   * Sends a message, or queues it while the runtime is away.
   * @returns backpressure of the runtime's link
   * @throws ProtoflyError `E_UNREACHABLE` if the queue is full, `E_TOO_LARGE`
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

  /** Sends the queued messages, and from now on sends directly. */
  flush(): void {
    if (this.#state.at === 'attached') {
      this.#state.held = false;
      this.#components.onFlowing?.(this);
    }
    for (const { message } of this.#take()) {
      try {
        void this.deliver(message);
      } catch {
        // The message doesn't fit this link. It was accepted from its sender before, so the error isn't reported.
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

  /** Queues the messages sent but not taken before all others. Ignores the limits: they were accepted before. */
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

  /** Returns one promise for all senders. It settles when the link has drained, or no longer belongs to the session. */
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

  /**
   * Detaches a carrier that moves nothing, or has been congested for much too long.
   * @returns a function that stops watching
   */
  #watch(carrier: SessionLink): () => void {
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
