import { isResponse, ProtoflyError, refuse, type Message, type Request, type Response } from '../../../src/protocol/index.js';
import type { Lane } from './lane.js';

export interface StubComponents {
  /** Creates a lane to the node. */
  readonly makeLane: () => Lane;
  /** Runs a callback once in the stub's runtime, after some milliseconds. */
  readonly later: (run: () => void, milliseconds: number) => void;
  readonly now: () => number;
  /** Refuses a message of the stub's runtime. */
  readonly onRefused: (refusal: Response) => void;
}

/** Maximum wait of a message given to a stub that is away, in milliseconds. */
const PATIENCE_MS = 10_000;

/** A runtime's connection to the message node, modelled on src/protostubs/msg-node. */
export class Stub {
  readonly #components: StubComponents;
  #state: 'live' | 'away' | 'absent' = 'live';
  #lane: Lane;

  constructor(components: StubComponents) {
    this.#components = components;
    this.#lane = components.makeLane();
  }

  get state(): 'live' | 'away' | 'absent' {
    return this.#state;
  }

  get lane(): Lane {
    return this.#lane;
  }

  /** @throws ProtoflyError `E_UNREACHABLE` while no stub is deployed */
  carrier(): Lane {
    if (this.#state === 'absent') throw new ProtoflyError('E_UNREACHABLE', 'no message-node stub');
    return this.#lane;
  }

  /** Ends the connection. @param abandons true to refuse the messages in flight, which may have arrived */
  leave(abandons: boolean): void {
    if (this.#state !== 'live') return;
    const left = this.#lane.clear();
    this.#state = 'away';
    this.#lane.isAway = true;
    if (abandons) for (const { message } of left) this.#refuse(message, true);
  }

  /** Connects again and sends queued messages. */
  come(): void {
    if (this.#state === 'absent') this.#lane = this.#components.makeLane();
    this.#state = 'live';
    this.#lane.isAway = false;
  }

  /** Ends the stub itself, with everything in it. */
  end(): void {
    this.#state = 'absent';
    this.#lane.up = false;
    this.#lane.clear();
  }

  /** Restarts the stub together with its process; it begins in state `away`. */
  restart(): void {
    this.end();
    this.#lane = this.#components.makeLane();
    this.#state = 'away';
    this.#lane.isAway = true;
  }

  /** Call after giving it a message. While the stub is away the message waits, and is refused when it has waited too long. */
  sent(): void {
    const { later, now } = this.#components;
    const lane = this.#lane;
    if (this.#state !== 'away') return;
    later(() => {
      if (this.#state !== 'away' || lane !== this.#lane) return;
      const all = lane.clear();
      lane.putFirst(all.filter(({ at }) => at > now() - PATIENCE_MS));
      for (const { message, at } of all) if (at <= now() - PATIENCE_MS) this.#refuse(message, false);
    }, PATIENCE_MS);
  }

  #refuse(message: Message, uncertain: boolean): void {
    if (!isResponse(message)) this.#components.onRefused(refuse(message as Request, new ProtoflyError('E_UNREACHABLE', uncertain ? 'the connection has ended' : 'the message node could not be reached in time', { uncertain })));
  }
}
