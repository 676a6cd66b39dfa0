import {
  asProtoflyError, parseIceServers, type Clock, type IceServer, type IceTransportPolicy, type Timer,
} from '../../protocol/index.js';

/** The ICE settings of a P2P set-up. */
export interface Ice {
  readonly iceServers: readonly IceServer[];
  readonly iceTransportPolicy: IceTransportPolicy;
}

export interface IceComponents {
  readonly clock: Clock;
  /**
   * Asks the domain for its ICE servers. Returns the value of its answer; undefined if it doesn't support the request.
   * @throws ProtoflyError
   */
  readonly ask: () => Promise<unknown>;
  /** Called when servers or credentials have changed. */
  readonly onChange: (ice: Ice) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface IceInit {
  /** Servers from the settings. @default none */
  readonly own?: readonly IceServer[];
  /** Servers from the domain's document, used until the domain has been asked. @default none */
  readonly listed?: readonly string[];
  /** The candidates that may be used. @default 'all' */
  readonly policy?: IceTransportPolicy;
}

/** Maximum time that a set-up waits for the domain's answer, in milliseconds. */
const PATIENCE_MS = 2000;
/** The share of their lifetime after which credentials are renewed. */
const FRESH = 0.75;
/** Maximum pause between two checks of the credentials, in milliseconds. Timers are late after a machine has slept. */
const LOOK_MS = 60_000;
/** Pause before a domain is asked again after a failure, in milliseconds. */
const AGAIN_MS = 30_000;
const UNKNOWN_TTL_S = 24 * 3600;

const asObject = (server: IceServer): IceServer => (typeof server === 'string' && !server.includes('@') ? { urls: [server] } : server);

/** Keeps the ICE servers of the domain and their credentials fresh. */
export class IceConfiguration {
  readonly #components: IceComponents;
  readonly #init: IceInit;
  #domain: readonly IceServer[];
  /** End of the present servers' use, in steady time. */
  #freshUntil = 0;
  #asking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(components: IceComponents, init: IceInit = {}) {
    this.#components = components;
    this.#init = init;
    this.#domain = init.listed ?? [];
  }

  /** The servers known now. */
  get current(): Ice {
    return {
      iceServers: [...(this.#init.own ?? []), ...this.#domain].map(asObject),
      iceTransportPolicy: this.#init.policy ?? 'all',
    };
  }

  /** Returns the servers for a set-up, renewed first if the domain answers in time. Never rejects. */
  async ready(): Promise<Ice> {
    const { clock } = this.#components;
    if (clock.now() >= this.#freshUntil) {
      await new Promise<void>((resolve) => {
        const timer = clock.setTimeout(resolve, PATIENCE_MS);
        void this.refresh().then(() => { timer.cancel(); resolve(); });
      });
    }
    return this.current;
  }

  /** Asks the domain if the servers aren't fresh, and keeps them fresh from now on. Never rejects. */
  refresh(): Promise<void> {
    if (this.#closed || this.#components.clock.now() < this.#freshUntil) return Promise.resolve();
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
      this.#look();
    });
    return this.#asking;
  }

  /** Asks the domain again, because the servers of an earlier session may be invalid. Never rejects. */
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
