import {
  asProtoflyError, parseIceServers, type Clock, type IceServer, type IceTransportPolicy, type Timer,
} from '../../protocol/index.js';

/** What a set-up is to use. */
export interface Ice {
  readonly iceServers: readonly IceServer[];
  readonly iceTransportPolicy: IceTransportPolicy;
}

export interface IceComponents {
  readonly clock: Clock;
  /** Asks the domain: the value of its answer, undefined where it knows no such question. @throws ProtoflyError */
  readonly ask: () => Promise<unknown>;
  /** The servers are others than before, or their credentials are. */
  readonly onChange: (ice: Ice) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface IceInit {
  /** Of the settings. @default none */
  readonly own?: readonly IceServer[];
  /** What the domain's document lists: they serve until the domain has been asked. @default none */
  readonly listed?: readonly string[];
  /** @default 'all' */
  readonly policy?: IceTransportPolicy;
  /** How long a set-up waits for an answer of the domain, in milliseconds. @default 2000 */
  readonly patienceMs?: number;
}

/** What part of their time credentials are used for. */
const FRESH = 0.75;
/** How often it is looked whether they still are: a machine that slept has timers that are late. */
const LOOK_MS = 60_000;
/** A domain that can't be asked, or doesn't know the question, is asked again after this. */
const AGAIN_MS = 30_000;
const UNKNOWN_TTL_S = 24 * 3600;

const asObject = (server: IceServer): IceServer => (typeof server === 'string' && !server.includes('@') ? { urls: [server] } : server);

/** Keeps the ICE servers of the domain fresh. */
export class IceConfiguration {
  readonly #components: IceComponents;
  readonly #init: IceInit;
  #domain: readonly IceServer[];
  /** Until when what is known is used, in milliseconds since 1970. */
  #freshUntil = 0;
  #asking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(components: IceComponents, init: IceInit = {}) {
    this.#components = components;
    this.#init = init;
    this.#domain = init.listed ?? [];
  }

  /** As far as is known now. */
  get current(): Ice {
    return {
      iceServers: [...(this.#init.own ?? []), ...this.#domain].map(asObject),
      iceTransportPolicy: this.#init.policy ?? 'all',
    };
  }

  /** For a set-up: fresh, where the domain answers soon. Never rejects. */
  async ready(): Promise<Ice> {
    const { clock } = this.#components;
    if (clock.now() >= this.#freshUntil) {
      await new Promise<void>((resolve) => {
        const timer = clock.setTimeout(resolve, this.#init.patienceMs ?? 2000);
        void this.refresh().then(() => { timer.cancel(); resolve(); });
      });
    }
    return this.current;
  }

  /** Asks the domain if what is known isn't fresh, and keeps it so from now on. Never rejects. */
  refresh(): Promise<void> {
    if (this.#closed || this.#components.clock.now() < this.#freshUntil) return Promise.resolve();
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
      this.#look();
    });
    return this.#asking;
  }

  /** There is a new session with the domain: what was learned in another may not hold. Never rejects. */
  renew(): Promise<void> {
    if (this.#asking === undefined) this.#freshUntil = 0;
    return this.refresh();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #ask(): Promise<void> {
    const { ask, clock, onChange, log } = this.#components;
    try {
      const value = await ask();
      const { iceServers, ttl } = (typeof value === 'object' && value !== null ? value : {}) as { readonly iceServers?: unknown; readonly ttl?: unknown };
      const servers = value === undefined ? this.#init.listed ?? [] : parseIceServers(iceServers);
      const seconds = typeof ttl === 'number' && ttl > 0 ? Math.min(ttl, UNKNOWN_TTL_S) : UNKNOWN_TTL_S;
      this.#freshUntil = clock.now() + seconds * 1000 * FRESH;
      const changed = JSON.stringify(servers) !== JSON.stringify(this.#domain);
      this.#domain = servers;
      if (changed && !this.#closed) onChange(this.current);
    } catch (thrown) {
      this.#freshUntil = clock.now() + AGAIN_MS;
      log('info', `the domain's ICE servers are not known: ${asProtoflyError(thrown).message}`);
    }
  }

  #look(): void {
    this.#timer?.cancel();
    if (this.#closed) return;
    const { clock } = this.#components;
    const left = this.#freshUntil - clock.now();
    this.#timer = clock.setTimeout(() => {
      if (clock.now() >= this.#freshUntil) void this.refresh();
      else this.#look();
    }, Math.max(1000, Math.min(left, LOOK_MS)));
  }
}
