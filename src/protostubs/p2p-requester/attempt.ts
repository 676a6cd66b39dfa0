import {
  asProtoflyError, parseConnection,
  type Address, type Clock, type IceServer, type Invitation, type Message, type Backpressure, type Syncher, type WebRtcEngine,
} from '../../protocol/index.js';
import { ConnectionController, Signalling, type ConnectionEnd, type HealthReport, type LiveDetails, type Log } from '../p2p/index.js';

export interface AttemptComponents {
  readonly engine: WebRtcEngine;
  readonly syncher: Syncher;
  readonly clock: Clock;
  readonly log: Log;
}

export interface AttemptInit {
  readonly runtime: Address;
  readonly handler: Address;
  readonly generation: number;
  readonly iceServers: readonly IceServer[];
  readonly eager: boolean;
  /** Timeout of the set-up, in milliseconds. @default 15_000 */
  readonly setupMs?: number;
  readonly deliver: (message: Message) => Backpressure;
  /** Our Connection object exists: the set-up has started. */
  readonly onInProgress: () => void;
  readonly onLive: (details: LiveDetails) => void;
  readonly onHealth: (report: HealthReport) => void;
  readonly onEnd: (end: ConnectionEnd) => void;
  readonly onUnsent: (message: Message, reason: string) => void;
}

/** A failure within this time after the answer is blamed on the attempt's eagerness, in milliseconds. */
const TOO_EAGER_MS = 2000;

/** One generation of the connection, from the offer to its end. */
export class Attempt {
  readonly #init: AttemptInit;
  readonly #controller: ConnectionController;
  readonly #signalling: Signalling;
  readonly #clock: Clock;
  /** Time at which the answer came, in milliseconds. */
  #answeredAt: number | undefined;
  #refusedWith: number | undefined;

  constructor(components: AttemptComponents, init: AttemptInit) {
    this.#init = init;
    this.#clock = components.clock;
    this.#signalling = new Signalling(components, {
      runtime: init.runtime,
      generation: init.generation,
      peer: init.handler,
      onCandidates: (candidates) => { this.#controller.addCandidates(candidates); },
      onRefused: (reason, code) => {
        this.#refusedWith = code;
        this.#controller.abandoned(reason);
      },
    });
    this.#controller = new ConnectionController(components, {
      generation: init.generation,
      iceServers: init.iceServers,
      eager: init.eager,
      ...(init.setupMs === undefined ? {} : { setupMs: init.setupMs }),
      deliver: init.deliver,
      onCandidate: (candidate) => { this.#signalling.addLocal(candidate); },
      onLive: init.onLive,
      onHealth: init.onHealth,
      onEnd: (end) => {
        this.#signalling.close();
        init.onEnd(end);
      },
      onUnsent: init.onUnsent,
    });
  }

  get isLive(): boolean {
    return this.#controller.isLive;
  }

  get isSuspect(): boolean {
    return this.#controller.isSuspect;
  }

  get hasEnded(): boolean {
    return this.#controller.hasEnded;
  }

  /** The code with which the other side refused, if it did. */
  get refusedWith(): number | undefined {
    return this.#refusedWith;
  }

  /** True if the attempt was eager and failed soon after the answer, as eager attempts do. */
  get wasTooEager(): boolean {
    return this.#init.eager && this.#answeredAt !== undefined && this.#clock.now() - this.#answeredAt < TOO_EAGER_MS;
  }

  /** Sends the offer. All failures are reported by `onEnd`. */
  async start(): Promise<void> {
    try {
      const sdp = await this.#controller.offer();
      const published = this.#signalling.publish('offer', sdp);
      await published;
      if (!this.#controller.hasEnded && !this.#controller.isLive) this.#init.onInProgress();
    } catch (thrown) {
      this.#controller.fail(asProtoflyError(thrown).message);
    }
  }

  /** Takes the invitation to the handler's object if it answers this offer. Returns false if it doesn't. */
  take(invitation: Invitation): boolean {
    if (this.#answeredAt !== undefined || this.hasEnded) return false;
    let answer;
    try {
      answer = parseConnection(invitation.value);
    } catch (thrown) {
      invitation.refuse(400, asProtoflyError(thrown).message);
      this.#controller.fail(asProtoflyError(thrown).message);
      return true;
    }
    // A handler without generations always answers the newest offer.
    if (answer.generation !== undefined && answer.generation !== this.#init.generation) return false;
    this.#answeredAt = this.#clock.now();
    this.#controller.setAnswer(answer);
    this.#signalling.tellAnswered();
    void this.#signalling.observe(invitation);
    return true;
  }

  /** @throws ProtoflyError as `send` of the controller */
  send(message: Message): Backpressure {
    return this.#controller.send(message);
  }

  probe(patienceMs: number): void {
    this.#controller.probe(patienceMs);
  }

  close(reason: string): Promise<void> {
    return this.#controller.close(reason);
  }
}
