import {
  asProtoflyError, isResponse, respond,
  type Address, type Body, type Clock, type ConnectionValue, type IceServer, type Invitation, type Message, type Backpressure, type StubBus, type StubPort, type Syncher, type WebRtcEngine,
} from '../../protocol/index.js';
import { answerUnsent, ConnectionController, healthFields, Signalling, type Log, type Report } from '../p2p/index.js';

export interface HandledComponents {
  readonly bus: StubBus;
  readonly engine: WebRtcEngine;
  readonly syncher: Syncher;
  readonly clock: Clock;
  readonly log: Log;
  readonly report: Report;
}

export interface HandledInit {
  /** The connection's address: that of its port. */
  readonly address: Address;
  readonly remote: Address;
  readonly runtime: Address;
  readonly offer: ConnectionValue;
  readonly invitation: Invitation;
  readonly iceServers: readonly IceServer[];
  readonly onLive: () => void;
  readonly onEnd: () => void;
}

/** The last state that the runtime was told of. `refused`: it has objected and needs no report of the end. */
type Stage = 'announced' | 'refused' | 'in-progress' | 'live';

/** One connection of the handler, from the invitation to its end. */
export class HandledConnection {
  readonly #components: HandledComponents;
  readonly #init: HandledInit;
  readonly #controller: ConnectionController;
  readonly #signalling: Signalling;
  readonly #port: StubPort;
  #stage: Stage = 'announced';

  constructor(components: HandledComponents, init: HandledInit) {
    this.#components = components;
    this.#init = init;
    const { bus, log } = components;
    const generation = init.offer.generation ?? 1;
    this.#port = bus.openPort(init.address);
    this.#port.onMessage((message) => this.#carry(message));
    this.#signalling = new Signalling(components, {
      runtime: init.runtime,
      generation,
      peer: init.invitation.source,
      onCandidates: (candidates) => { this.#controller.addCandidates(candidates); },
      onAnswered: () => { this.#controller.proceed(); },
      onRefused: (reason) => { this.#controller.abandoned(reason); },
    });
    this.#controller = new ConnectionController(components, {
      generation,
      iceServers: init.iceServers,
      deliver: (message) => this.#port.post(message),
      onCandidate: (candidate) => { this.#signalling.addLocal(candidate); },
      onLive: (details) => {
        this.#progress();
        this.#stage = 'live';
        components.report('live', { ...this.fields, details });
        init.onLive();
      },
      onHealth: (report) => { components.report('live', { ...this.fields, ...healthFields(report) }); },
      onEnd: ({ failed, orderly, reason, delivered }) => {
        if (this.#stage !== 'refused') components.report(failed ? 'failed' : 'disconnected', { ...this.fields, description: reason, ...(orderly ? { details: { orderly } } : {}) });
        this.#signalling.close();
        void delivered.then(() => { this.#port.close(); });
        init.onEnd();
      },
      onUnsent: (message, reason) => { answerUnsent(bus, log, message, reason); },
    });
  }

  get remote(): Address {
    return this.#init.remote;
  }

  /** Address of the other side's Connection object. */
  get source(): Address {
    return this.#init.invitation.url;
  }

  /** True once the connection was live. */
  get wasLive(): boolean {
    return this.#stage === 'live';
  }

  /** The fields of every report of this connection. */
  get fields(): Body {
    return { resource: this.#init.remote, connection: this.#init.address };
  }

  /** Accepts the invitation and answers with an object of our own. */
  async start(): Promise<void> {
    if (this.#controller.hasEnded) {
      this.#init.invitation.refuse(503, 'given up meanwhile');
      return;
    }
    let sdp: string;
    try {
      sdp = await this.#controller.answer(this.#init.offer);
    } catch (thrown) {
      const { message, status } = asProtoflyError(thrown);
      this.#init.invitation.refuse(status, message);
      return;
    }
    try {
      // The answer needn't wait for the newest version of the offer, to which only candidates are added.
      const observed = this.#signalling.observe(this.#init.invitation);
      await this.#signalling.publish('answer', sdp);
      if (!this.#controller.hasEnded) this.#progress();
      await observed;
    } catch (thrown) {
      this.#controller.fail(asProtoflyError(thrown).message);
    }
  }

  /** Reports the set-up as in progress: once, and always before `live`. */
  #progress(): void {
    if (this.#stage !== 'announced') return;
    this.#stage = 'in-progress';
    this.#components.report('in-progress', this.fields);
  }

  /** Refuses the invitation because the runtime has objected. */
  refuse(code: number, reason: string): void {
    this.#stage = 'refused';
    this.#init.invitation.refuse(code, reason);
    this.#controller.fail(reason);
  }

  probe(patienceMs: number): void {
    this.#controller.probe(patienceMs);
  }

  close(reason: string): Promise<void> {
    return this.#controller.close(reason);
  }

  #carry(message: Message): Backpressure {
    const { bus, log } = this.#components;
    if (message.to === this.#init.address && !isResponse(message) && message.type === 'execute' && message.body?.resource === '/disconnect') {
      void this.close('closed by this runtime').then(() => bus.postMessage(respond(message, 200)));
      return undefined;
    }
    try {
      return this.#controller.send(message);
    } catch (thrown) {
      answerUnsent(bus, log, message, asProtoflyError(thrown).message);
      return undefined;
    }
  }
}
