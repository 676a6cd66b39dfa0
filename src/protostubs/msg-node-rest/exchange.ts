import { parseJson, ProtoflyError, type Clock, type Timer } from '../../protocol/index.js';

export interface ExchangeComponents {
  readonly fetch: typeof globalThis.fetch;
  readonly clock: Clock;
}

/** The deadline of a running request. */
export interface Deadline {
  /** Sets the time left from now on, in milliseconds; undefined: no limit. */
  set(milliseconds: number | undefined): void;
}

export interface Asked {
  readonly method: 'GET' | 'POST';
  /** Relative to the base URL. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** The HTTP requests of one connection. A request is given up at its deadline, even if `fetch` ignores its signal. */
export class Exchange {
  readonly #components: ExchangeComponents;
  readonly #url: string;
  readonly #running = new Set<(error: ProtoflyError) => void>();
  #token: string | undefined;
  #closed = false;

  constructor(components: ExchangeComponents, { url }: { readonly url: string }) {
    this.#components = components;
    this.#url = url.replace(/\/+$/, '');
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sets the token that requests carry from now on. */
  authorise(token: string | undefined): void {
    this.#token = token;
  }

  /** Runs work with a deadline. @throws ProtoflyError `E_TIMEOUT`, `E_ABORTED` if closed meanwhile, and errors of the work */
  run<T>(milliseconds: number, work: (signal: AbortSignal, deadline: Deadline) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    let timer: Timer | undefined;
    return new Promise<T>((resolve, reject) => {
      const giveUp = (error: ProtoflyError): void => {
        reject(error);
        controller.abort(error);
      };
      const deadline: Deadline = {
        set: (time) => {
          timer?.cancel();
          if (time !== undefined) timer = this.#components.clock.setTimeout(() => { giveUp(new ProtoflyError('E_TIMEOUT', 'the message node did not answer in time')); }, time);
        },
      };
      this.#running.add(giveUp);
      deadline.set(milliseconds);
      if (this.#closed) giveUp(new ProtoflyError('E_ABORTED', 'the connection was closed'));
      else {
        work(controller.signal, deadline).then(resolve, (thrown: unknown) => { reject(troubleOf(thrown)); }).finally(() => {
          timer?.cancel();
          this.#running.delete(giveUp);
        });
      }
      controller.signal.addEventListener('abort', () => { timer?.cancel(); this.#running.delete(giveUp); });
    });
  }

  /** Waits for some milliseconds. @throws ProtoflyError `E_ABORTED` */
  async pause(milliseconds: number): Promise<void> {
    await this.run(milliseconds, () => new Promise<never>(() => undefined)).catch((thrown: unknown) => {
      if (!(thrown instanceof ProtoflyError) || thrown.code !== 'E_TIMEOUT') throw thrown;
    });
  }

  /** Sends one request and reads the whole answer. @throws ProtoflyError as `run`; `E_UNREACHABLE`; `E_TOO_LARGE` */
  ask(asked: Asked, { timeoutMs, maxBytes }: { readonly timeoutMs: number; readonly maxBytes: number }): Promise<Answer> {
    return this.run(timeoutMs, async (signal) => {
      const response = await this.fetch(asked, signal);
      return { status: response.status, headers: response.headers, text: await textOf(response, maxBytes) };
    });
  }

  fetch({ method, path, headers = {}, body }: Asked, signal: AbortSignal): Promise<Response> {
    const { fetch } = this.#components;
    return fetch(`${this.#url}${path}`, {
      method, signal, redirect: 'error',
      headers: {
        accept: 'application/json',
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
  }

  /** Aborts all running requests. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const giveUp of [...this.#running]) giveUp(new ProtoflyError('E_ABORTED', 'the connection was closed'));
  }
}

/** Reads a whole body, up to a limit. */
const textOf = async (response: Response, maxBytes: number): Promise<string> => {
  if (response.body === null) return '';
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parts: string[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return parts.join('') + decoder.decode();
    size += value.byteLength;
    if (size > maxBytes) {
      await reader.cancel();
      throw new ProtoflyError('E_TOO_LARGE', `the message node answered more than ${String(maxBytes)} bytes`);
    }
    parts.push(decoder.decode(value, { stream: true }));
  }
};

/** Converts an error of `fetch`, which has the reason in its cause. */
const troubleOf = (thrown: unknown): ProtoflyError => {
  if (thrown instanceof ProtoflyError) return thrown;
  const { message, cause } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as { readonly message?: unknown; readonly cause?: { readonly message?: unknown; readonly code?: unknown } };
  const words = [cause?.message, cause?.code, message].find((text) => typeof text === 'string' && text !== '');
  return new ProtoflyError('E_UNREACHABLE', typeof words === 'string' ? words : 'the message node could not be reached', { cause: thrown });
};

/** Returns the description in a refusal, or a generic one. */
export const wordsOf = ({ status, text }: Pick<Answer, 'status' | 'text'>): string => {
  try {
    const { description } = parseJson(text) as { readonly description?: unknown };
    if (typeof description === 'string') return description.slice(0, 500);
  } catch {
    // Not JSON, so not from the message node.
  }
  return `the message node answered ${String(status)}`;
};
