import {
  child, isResponse, isSuccess, responseError, SESSION,
  type Address, type Body, type Message, type ProtoflyError, type MessageId, type Request, type Response,
} from '../../protocol/index.js';

/** The result of opening a session. */
export type Opened =
  | { readonly how: 'new' | 'resumed' }
  /** The node wants the runtime to prove that it has the key that its URL names: sign the challenge, and open again. */
  | { readonly how: 'challenged'; readonly challenge: string }
  /** The node doesn't know the token any more: open a new session. */
  | { readonly how: 'forgotten' }
  /** `final`: retrying without a change won't help. */
  | { readonly how: 'refused'; readonly error: ProtoflyError; readonly final: boolean };

/** Maximum number of remembered pings without an answer; some nodes never answer pings. */
const MAX_OVERTAKEN = 16;

/**
 * The session with the message node: its requests to `mn:/session`, and its token.
 * @see docs/protocol.md, "Message-node session"
 */
export class NodeSession {
  readonly #runtime: Address;
  #counter = 0;
  #token: string | undefined;
  #asked: { readonly request: Request; readonly settle: (response: Response) => void } | undefined;
  /** Ids of earlier requests that aren't answered yet. */
  readonly #overtaken = new Set<MessageId>();

  constructor(runtime: Address) {
    this.#runtime = runtime;
  }

  /** The token that later requests carry; undefined until the session is open. */
  get token(): string | undefined {
    return this.#token;
  }

  /**
   * Creates the request that opens or resumes the session.
   * @param onOpened called with the result of the answer
   * @param identity the signed answer to a challenge
   */
  open(onOpened: (opened: Opened) => void, identity?: string): Request {
    const resuming = this.#token !== undefined;
    const from = this.#token === undefined ? this.#runtime : child(this.#runtime, this.#token);
    return this.#ask(resuming ? 're-open' : 'open', from, (response) => { onOpened(this.#judge(response, resuming)); }, identity === undefined ? undefined : { identity });
  }

  /** Creates the request that gives up the session and everything allocated in it. */
  close(onClosed: () => void): Request {
    const from = this.#token === undefined ? this.#runtime : child(this.#runtime, this.#token);
    this.#token = undefined;
    return this.#ask('close', from, onClosed);
  }

  /** Creates a request whose answer shows that the message node is alive. */
  ping(onAnswer: () => void): Request {
    return this.#ask('ping', this.#runtime, onAnswer);
  }

  /** @returns true if the message answers a request of the session, so the runtime must not get it */
  take(message: Message): boolean {
    const asked = this.#asked;
    if (!isResponse(message) || message.from !== SESSION) return false;
    if (message.id !== asked?.request.id) return this.#overtaken.delete(message.id);
    if (message.body.code < 200) return true;
    this.#asked = undefined;
    asked.settle(message);
    return true;
  }

  /** Forgets pending requests, because their connection has ended. */
  dropped(): void {
    this.#asked = undefined;
    this.#overtaken.clear();
  }

  #ask(type: 'open' | 're-open' | 'close' | 'ping', from: Address, settle: (response: Response) => void, body?: Body): Request {
    const request: Request = { id: `session-${String(++this.#counter)}`, type, from, to: SESSION, ...(body === undefined ? {} : { body }) };
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
    if (code === 401 && typeof challenge === 'string') return { how: 'challenged', challenge };
    if (resuming && code < 500) {
      this.#token = undefined;
      return { how: 'forgotten' };
    }
    return { how: 'refused', error: responseError(response), final: code >= 400 && code < 500 && code !== 408 && code !== 429 };
  }
}
