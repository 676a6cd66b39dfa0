import { attempt } from './host.js';

type Listener = ((event: Event) => void) | { handleEvent(event: Event): void };

/** The web's Event, as far as it makes sense without a tree. */
export class Event {
  readonly type: string;
  target: unknown = null;
  readonly [detail: string]: unknown;

  constructor(type: string, detail: Readonly<Record<string, unknown>> = {}) {
    this.type = String(type);
    Object.assign(this, detail);
  }
}

/** The web's EventTarget. An error of a listener is reported and doesn't stop the others. */
export class EventTarget {
  readonly #listeners = new Map<string, Map<Listener, boolean>>();

  addEventListener(type: string, listener: Listener | null, options?: { readonly once?: boolean } | boolean): void {
    if (listener === null) return;
    const listeners = this.#listeners.get(type) ?? new Map<Listener, boolean>();
    this.#listeners.set(type, listeners);
    if (!listeners.has(listener)) listeners.set(listener, typeof options === 'object' && options.once === true);
  }

  removeEventListener(type: string, listener: Listener | null): void {
    if (listener !== null) this.#listeners.get(type)?.delete(listener);
  }

  /** Calls the handler property (`onopen`), then the listeners. */
  dispatchEvent(event: Event): boolean {
    event.target = this;
    const own = (this as unknown as Record<string, unknown>)[`on${event.type}`];
    if (typeof own === 'function') attempt(() => { (own as (event: Event) => void).call(this, event); });
    const listeners = this.#listeners.get(event.type);
    for (const [listener, once] of [...(listeners ?? [])]) {
      if (once) listeners?.delete(listener);
      attempt(() => {
        if (typeof listener === 'function') listener.call(this, event);
        else listener.handleEvent(event);
      });
    }
    return true;
  }
}

export class DOMException extends Error {
  constructor(message = '', name = 'Error') {
    super(message);
    this.name = name;
  }
}

export class AbortSignal extends EventTarget {
  onabort: ((event: Event) => void) | null = null;
  #aborted: { readonly reason: unknown } | undefined;

  static abort(reason?: unknown): AbortSignal {
    const controller = new AbortController();
    controller.abort(reason);
    return controller.signal;
  }

  get aborted(): boolean {
    return this.#aborted !== undefined;
  }

  get reason(): unknown {
    return this.#aborted?.reason;
  }

  throwIfAborted(): void {
    if (this.#aborted !== undefined) throw this.#aborted.reason;
  }

  /** Aborts it. Only for its controller. */
  static trip(signal: AbortSignal, reason: unknown): void {
    if (signal.#aborted !== undefined) return;
    signal.#aborted = { reason: reason ?? new DOMException('This operation was aborted', 'AbortError') };
    signal.dispatchEvent(new Event('abort'));
  }
}

const trip = AbortSignal.trip.bind(AbortSignal);
delete (AbortSignal as { trip?: unknown }).trip;

export class AbortController {
  readonly signal = new AbortSignal();

  abort(reason?: unknown): void {
    trip(this.signal, reason);
  }
}
