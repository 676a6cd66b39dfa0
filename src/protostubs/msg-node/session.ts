import {
  child, descriptionOf, errorOfStatus, isResponse, isSuccess, ProtoflyError, SESSION,
  type Address, type Message, type MessageId, type Request, type Response,
} from '../../protocol/index.js';

/** What became of a session's opening. */
export type Opened =
  | { readonly how: 'new' | 'resumed' }
  /** The token isn't known any more: open anew. */
  | { readonly how: 'forgotten' }
  /** `final`: trying again without a change won't help. */
  | { readonly how: 'refused'; readonly error: ProtoflyError; readonly final: boolean };

/** A node that answers no pings isn't waited for. */
const MAX_OVERTAKEN = 16;

/** The session with the message node: what is said to `mn:/session`, and the token. @see docs/protocol.md, "Message-node session" */
export class NodeSession {
  readonly #runtime: Address;
  #counter = 0;
  #token: string | undefined;
  #asked: { readonly request: Request; readonly settle: (response: Response) => void } | undefined;
  /** What was asked before that, and isn't answered yet. */
  readonly #overtaken = new Set<MessageId>();

  constructor(runtime: Address) {
    this.#runtime = runtime;
  }

  /** What later requests show; undefined before there is a session. */
  get token(): string | undefined {
    return this.#token;
  }

  /** The request that opens the session or resumes it. @param onOpened is told when it is answered */
  open(onOpened: (opened: Opened) => void): Request {
    const resuming = this.#token !== undefined;
    const from = this.#token === undefined ? this.#runtime : child(this.#runtime, this.#token);
    return this.#ask(resuming ? 're-open' : 'open', from, (response) => { onOpened(this.#judge(response, resuming)); });
  }

  /** The request that gives the session up, with everything allocated in it. */
  close(onClosed: () => void): Request {
    const from = this.#token === undefined ? this.#runtime : child(this.#runtime, this.#token);
    this.#token = undefined;
    return this.#ask('close', from, onClosed);
  }

  /** A request by whose answer the message node shows that it is alive. */
  ping(onAnswer: () => void): Request {
    return this.#ask('ping', this.#runtime, onAnswer);
  }

  /** @returns whether the message was the answer that the session waits for, which isn't the runtime's business */
  take(message: Message): boolean {
    const asked = this.#asked;
    if (!isResponse(message) || message.from !== SESSION) return false;
    if (message.id !== asked?.request.id) return this.#overtaken.delete(message.id);
    if (message.body.code < 200) return true;
    this.#asked = undefined;
    asked.settle(message);
    return true;
  }

  /** The connection is gone: nothing that was asked over it will be answered. */
  dropped(): void {
    this.#asked = undefined;
    this.#overtaken.clear();
  }

  #ask(type: 'open' | 're-open' | 'close' | 'ping', from: Address, settle: (response: Response) => void): Request {
    const request: Request = { id: `session-${String(++this.#counter)}`, type, from, to: SESSION };
    if (this.#asked !== undefined) this.#overtaken.add(this.#asked.request.id);
    const [oldest] = this.#overtaken;
    if (oldest !== undefined && this.#overtaken.size > MAX_OVERTAKEN) this.#overtaken.delete(oldest);
    this.#asked = { request, settle };
    return request;
  }

  #judge(response: Response, resuming: boolean): Opened {
    const { code, runtimeToken, challenge } = response.body;
    if (isSuccess(response)) {
      if (typeof runtimeToken === 'string' && runtimeToken !== '') this.#token = runtimeToken;
      return { how: resuming ? 'resumed' : 'new' };
    }
    if (resuming && code < 500) {
      this.#token = undefined;
      return { how: 'forgotten' };
    }
    const error = challenge === undefined
      ? errorOfStatus(code, descriptionOf(response))
      : new ProtoflyError('E_UNAUTHENTICATED', 'the domain asks for credentials, which this stub cannot give');
    return { how: 'refused', error, final: code >= 400 && code < 500 && code !== 408 && code !== 429 };
  }
}
