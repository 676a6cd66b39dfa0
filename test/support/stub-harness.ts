/**
 * A stub's surroundings in memory: a bus that records posted messages, and a syncher network in which data
 * objects reach their observers at once. Data channels in tests are real; only the signalling is simulated.
 */
import {
  child, isResponse, parseAddress, respond, systemClock, ProtoflyError,
  type Address, type DataChange, type DataObserver, type DataReporter, type Invitation, type Message, type Request, type Response, type StubBus, type StubPort, type StubRequest,
  type Backpressure, type Syncher,
} from '../../src/protocol/index.js';

type Listener = (message: Message) => Backpressure;

/** Waits until `check` returns a value. Checks again after each `poke`. */
export class Watch {
  readonly #waiting = new Set<() => void>();

  poke(): void {
    for (const look of [...this.#waiting]) look();
  }

  until<T>(check: () => T | undefined | false, what: string, timeoutMs = 10_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`waited in vain for ${what}`));
      }, timeoutMs).unref();
      const look = (): void => {
        const found = check();
        if (found === undefined || found === false) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found as T);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

export interface Status {
  readonly type: string;
  readonly value: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export class TestBus implements StubBus {
  readonly watch = new Watch();
  readonly statuses: Status[] = [];
  /** Messages that the stub handed to the runtime, without reports. */
  readonly posted: Message[] = [];
  readonly ports = new Map<Address, { listener: Listener | undefined; readonly received: Message[]; closed: boolean }>();
  /** The runtime's answer to an announcement; undefined: no answer. */
  announce: ((request: Request) => Response | undefined) | undefined = (request) => respond(request, 200);
  /** The runtime's answer to a challenge that it is to sign; undefined: no answer. */
  sign: ((request: Request) => Response | undefined) = (request) => respond(request, 404, { description: 'nobody signs here' });
  /** Replaces recording, for measurements and backpressure. */
  onPost: ((message: Message) => Backpressure) | undefined;
  readonly #listeners = new Map<string, Listener>();
  #id = 0;

  postMessage(given: Message | StubRequest, onResponse?: (response: Response) => void): Backpressure {
    const message = { ...given, id: given.id ?? ++this.#id } as Message;
    if (!isResponse(message) && typeof message.to === 'string' && message.to.endsWith('/status')) {
      const body = message.body ?? {};
      this.statuses.push({ type: message.type, value: String(body.value), body });
      if (message.type === 'create') {
        const answer = this.announce?.(message);
        if (answer !== undefined) queueMicrotask(() => onResponse?.(answer));
      }
      this.watch.poke();
      return undefined;
    }
    if (!isResponse(message) && typeof message.to === 'string' && message.to.endsWith('/identity')) {
      const answer = this.sign(message);
      if (answer !== undefined) queueMicrotask(() => onResponse?.(answer));
      return undefined;
    }
    if (this.onPost !== undefined) return this.onPost(message);
    this.posted.push(message);
    this.watch.poke();
    return undefined;
  }

  addListener(address: string, listener: Listener): void {
    this.#listeners.set(address, listener);
  }

  openPort(address: Address): StubPort {
    const port = { listener: undefined as Listener | undefined, received: [] as Message[], closed: false };
    this.ports.set(address, port);
    return {
      post: (message) => {
        if (this.onPost !== undefined) return this.onPost(message);
        port.received.push(message);
        this.watch.poke();
        return undefined;
      },
      onMessage: (listener) => { port.listener = listener; },
      close: () => { port.closed = true; this.watch.poke(); },
    };
  }

  /** Gives the stub a message from the runtime, to carry or for the stub itself. */
  give(message: Message): Backpressure {
    const listener = this.#listeners.get(String(message.to)) ?? this.#listeners.get('*');
    return listener?.(message);
  }

  status(value: string, matching: (body: Status['body']) => boolean = () => true): Promise<Status> {
    return this.watch.until(() => this.statuses.find((status) => status.value === value && matching(status.body)), `status ${value}`);
  }
}

interface Shared {
  readonly url: Address;
  readonly data: Record<string, unknown>;
  readonly changes: Set<(change: DataChange) => void>;
  readonly deletes: Set<() => void>;
  version: number;
}

/** All sync managers of a test. Everything goes through JSON, as on the wire. */
export class SyncherNetwork {
  readonly #owners = new Map<Address, (invitation: Invitation) => void>();
  readonly objects = new Map<Address, Shared>();
  #count = 0;

  syncher(owner: Address): Syncher {
    return {
      create: async (schema, observers, value, onAnswer) => {
        const url = parseAddress(`connection://localhost/${String(++this.#count)}`);
        const shared: Shared = { url, data: copy(value), changes: new Set(), deletes: new Set(), version: 0 };
        this.objects.set(url, shared);
        for (const observer of observers) queueMicrotask(() => { this.#invite(shared, schema, owner, observer, onAnswer); });
        await Promise.resolve();
        return this.#reporter(shared);
      },
      subscribe: (_schema, url) => this.#observe(url),
      onInvitation: (listener) => { this.#owners.set(owner, listener); },
      close: () => {
        this.#owners.delete(owner);
        return Promise.resolve();
      },
    };
  }

  #invite(shared: Shared, schema: string, source: Address, observer: Address, onAnswer?: (observer: Address, code: number, description?: string) => void): void {
    const listener = this.#owners.get(observer);
    if (listener === undefined) {
      onAnswer?.(observer, 404, 'no such observer');
      return;
    }
    listener({
      url: shared.url, schema, source,
      value: copy(shared.data),
      accept: () => {
        onAnswer?.(observer, 200);
        return this.#observe(shared.url);
      },
      refuse: (code, reason) => onAnswer?.(observer, code, reason),
    });
  }

  #observe(url: Address): Promise<DataObserver> {
    const shared = this.objects.get(url);
    if (shared === undefined) return Promise.reject(new ProtoflyError('E_NOT_FOUND', `no object ${url}`));
    const own = new Set<(change: DataChange) => void>();
    return Promise.resolve({
      url, data: copy(shared.data),
      onChange: (listener) => { shared.changes.add(listener); own.add(listener); },
      onDelete: (listener) => { shared.deletes.add(listener); },
      unsubscribe: () => { for (const listener of own) shared.changes.delete(listener); },
    });
  }

  #reporter(shared: Shared): DataReporter {
    return {
      url: shared.url, data: shared.data,
      update: (change) => {
        const list = shared.data[change.attribute];
        if (change.operation === 'add' && Array.isArray(list)) list.push(...(change.value as unknown[]));
        const full = copy({ ...change, version: ++shared.version });
        for (const listener of [...shared.changes]) queueMicrotask(() => { listener(full); });
      },
      delete: () => {
        this.objects.delete(shared.url);
        for (const listener of [...shared.deletes]) queueMicrotask(listener);
        return Promise.resolve();
      },
    };
  }
}

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

export const RUNTIME_A = parseAddress('hyperty-runtime://localhost/a');
export const RUNTIME_B = parseAddress('hyperty-runtime://localhost/b');
export const REQUESTER = child(RUNTIME_A, 'p2prequester/1');
export const HANDLER = child(RUNTIME_B, 'p2phandler/1');
export const ALICE = parseAddress('hyperty://localhost/alice');
export const BOB = parseAddress('hyperty://localhost/bob');
export const clock = systemClock;
/** With `PROTOFLY_TEST_LOG=1`, prints what the stubs log. */
export const log = (level: string, text: string): void => { if (process.env['PROTOFLY_TEST_LOG'] === '1') console.error(level, text); };
export const quiet = (): void => undefined;
