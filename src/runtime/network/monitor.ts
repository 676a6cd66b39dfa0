import type { NetworkInterfaceInfo } from 'node:os';
import { asProtoflyError, type Clock, type Timer } from '../../protocol/index.js';

/** The signature of `os.networkInterfaces()`. */
export type Interfaces = () => Readonly<Record<string, readonly Pick<NetworkInterfaceInfo, 'address' | 'internal'>[] | undefined>>;

export type NetworkChange =
  | { readonly kind: 'addresses'; readonly gone: ReadonlySet<string>; readonly come: ReadonlySet<string> }
  /** The machine, or this process, was asleep. */
  | { readonly kind: 'wake'; readonly sleptMs: number };

export interface NetworkMonitorComponents {
  readonly clock: Clock;
  readonly interfaces: Interfaces;
  readonly onChange: (change: NetworkChange) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

/** Pause between two checks, in milliseconds. */
const POLL_MS = 1000;
/** Minimum delay of a check that counts as a sleep, in milliseconds. */
const SLEEP_MS = 5000;

/** Describes a change in words, for the log and the status. */
export const describeChange = (change: NetworkChange): string => {
  if (change.kind === 'wake') return `awake again after ${String(Math.round(change.sleptMs / 1000))} s`;
  const parts = [['gone', change.gone], ['new', change.come]] as const;
  return parts.filter(([, { size }]) => size > 0).map(([word, addresses]) => `${word} ${[...addresses].join(', ')}`).join('; ');
};

/** False for link-local addresses: they change with every bridge and container, and lead nowhere by themselves. */
const matters = (address: string): boolean => !/^fe[89ab]/i.test(address) && !address.startsWith('169.254.');

type State =
  | { readonly at: 'new' | 'closed' }
  /** `known` are the addresses at the last check that could tell them; `due` is the date of the next check. */
  | { readonly at: 'watching'; readonly known: ReadonlySet<string> | undefined; readonly due: number; readonly timer: Timer };

/** Polls this machine's addresses, and detects sleep by checks that come late. */
export class NetworkMonitor {
  readonly #components: NetworkMonitorComponents;
  #state: State = { at: 'new' };
  /** True while the system doesn't tell the addresses. */
  #isBlind = false;

  constructor(components: NetworkMonitorComponents) {
    this.#components = components;
  }

  /** Starts polling. Idempotent. */
  start(): void {
    if (this.#state.at === 'new') this.#watch(this.#look());
  }

  /** Stops polling. Idempotent. */
  close(): void {
    if (this.#state.at === 'watching') this.#state.timer.cancel();
    this.#state = { at: 'closed' };
  }

  #watch(known: ReadonlySet<string> | undefined): void {
    const { clock } = this.#components;
    this.#state = { at: 'watching', known, due: clock.date() + POLL_MS, timer: clock.setTimeout(() => { this.#poll(); }, POLL_MS) };
  }

  #poll(): void {
    if (this.#state.at !== 'watching') return;
    const { due, known: before } = this.#state;
    // The steady clock may stand still while the machine sleeps; the date doesn't.
    const late = this.#components.clock.date() - due;
    const now = this.#look();
    this.#watch(now ?? before);
    if (now !== undefined && before !== undefined) {
      const gone = new Set([...before].filter((address) => !now.has(address)));
      const come = new Set([...now].filter((address) => !before.has(address)));
      if (gone.size + come.size > 0) this.#tell({ kind: 'addresses', gone, come });
    }
    if (late > SLEEP_MS) this.#tell({ kind: 'wake', sleptMs: late });
  }

  #tell(change: NetworkChange): void {
    this.#components.log('info', `the network of this machine has changed: ${describeChange(change)}`);
    this.#components.onChange(change);
  }

  /** Returns the present addresses. @returns undefined if the system doesn't provide them, which is logged once */
  #look(): ReadonlySet<string> | undefined {
    try {
      const all = Object.values(this.#components.interfaces()).flatMap((addresses) => addresses ?? []);
      this.#isBlind = false;
      return new Set(all.filter(({ address, internal }) => !internal && matters(address)).map(({ address }) => address));
    } catch (thrown) {
      if (!this.#isBlind) this.#components.log('warn', `the network can't be watched: ${asProtoflyError(thrown).message}`);
      this.#isBlind = true;
      return undefined;
    }
  }
}
