import {
  asProtoflyError, decodeMessage, encodeMessage, isResponse, ProtoflyError, respond, SESSION,
  type Clock, type Message, type Backpressure, type Request, type StubSandbox,
} from '../../protocol/index.js';
import type { Connection, ConnectionEvents, Item, Transport } from '../msg-node/index.js';
import { Exchange, wordsOf, type Answer } from './exchange.js';
import { startOfProgress, type Progress } from './progress.js';
import { EventReceiver, type Receive } from './receiver.js';
import { BatchSender } from './sender.js';

export interface RestComponents {
  readonly clock: Clock;
  readonly log: StubSandbox['log'];
  readonly fetch: typeof globalThis.fetch;
}

export interface RestInit {
  /** `http(s)://host:port/rest` */
  readonly url: string;
  /** @default undefined: a stream, or polling if streams don't get through */
  readonly receive: Receive | undefined;
}

const SESSION_MS = 10_000;
const SESSION_BYTES = 64 * 1024;

export class RestTransport implements Transport {
  readonly #components: RestComponents;
  readonly #init: RestInit;
  readonly #progress = startOfProgress();
  #receive: Receive | undefined;

  constructor(components: RestComponents, init: RestInit) {
    this.#components = components;
    this.#init = init;
    this.#receive = init.receive;
  }

  connect(events: ConnectionEvents): Connection {
    const { log } = this.#components;
    const onFallBack = (): void => {
      log('info', `no event stream comes through from ${this.#init.url}: polling from now on`);
      this.#receive = 'poll';
    };
    return new RestConnection({ ...this.#components, progress: this.#progress }, { ...events, onFallBack }, { ...this.#init, receive: this.#receive });
  }

  abandon(): readonly Message[] {
    const batch = this.#progress.batch;
    this.#progress.batch = undefined;
    return batch?.items.map(({ message }) => message) ?? [];
  }
}

/** Stands in for a connection, which HTTP doesn't have: all requests from a session's opening to the first failed one. */
class RestConnection implements Connection {
  readonly #progress: Progress;
  readonly #events: ConnectionEvents;
  readonly #exchange: Exchange;
  readonly #sender: BatchSender;
  readonly #receiver: EventReceiver;

  constructor({ progress, clock, log, fetch }: RestComponents & { readonly progress: Progress }, events: ConnectionEvents & { onFallBack(): void }, init: RestInit) {
    this.#progress = progress;
    this.#events = events;
    this.#exchange = new Exchange({ fetch, clock }, init);
    const onFailed = (why: string): void => { if (!this.#exchange.closed) events.onDropped(why); };
    this.#sender = new BatchSender({ exchange: this.#exchange, clock, progress }, { onRefused: events.onRefused, onFailed });
    this.#receiver = new EventReceiver(
      { exchange: this.#exchange, clock, log, progress },
      { onMessage: events.onMessage, onReceived: (size) => { this.#sender.received(size); }, onFallBack: events.onFallBack, onFailed },
      init,
    );
    // The first request needs no preparation.
    queueMicrotask(() => { if (!this.#exchange.closed) events.onOpen(); });
  }

  say(request: Request): void {
    this.#exchange.ask({ method: 'POST', path: '/session', body: encodeMessage(request) }, { timeoutMs: SESSION_MS, maxBytes: SESSION_BYTES }).then(
      (answer) => {
        if (this.#exchange.closed) return;
        const message = responseOf(request, answer);
        if (message === undefined) this.#events.onDropped(wordsOf(answer));
        else void this.#events.onMessage(message);
      },
      (thrown: unknown) => { if (!this.#exchange.closed) this.#events.onDropped(asProtoflyError(thrown).message); },
    );
  }

  begin(how: 'new' | 'resumed', token: string | undefined): void {
    if (how === 'new') Object.assign(this.#progress, { ...startOfProgress(), handing: this.#progress.handing, batch: this.#progress.batch });
    this.#exchange.authorise(token);
    this.#receiver.start();
    this.#sender.begin(how);
  }

  send(item: Item): Backpressure {
    return this.#sender.send(item);
  }

  flush(): Promise<void> {
    return this.#sender.flush();
  }

  close(): readonly Item[] {
    this.#exchange.close();
    return this.#sender.close();
  }
}

/**
 * Converts an HTTP answer to the session manager's response; a refusal may lack a message. Returns undefined if
 * the answer is not from a message node, or from one that can't answer.
 */
const responseOf = (request: Request, { status, text }: Answer): Message | undefined => {
  try {
    const message = decodeMessage(text);
    if (isResponse(message)) return message;
  } catch (thrown) {
    if (!(thrown instanceof ProtoflyError)) throw thrown;
  }
  return status >= 400 && status < 500 ? respond(request, status, { description: wordsOf({ status, text }) }, SESSION) : undefined;
};
