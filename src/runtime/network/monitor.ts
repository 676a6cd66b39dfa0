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

/** Polls this machine's addresses, and detects sleep by checks that come late. */
export class NetworkMonitor {
  readonly #components: NetworkMonitorComponents;
  #known: ReadonlySet<string> | undefined;
  #timer: Timer | undefined;
  #due = 0;
  #blind = false;
  #closed = false;

  constructor(components: NetworkMonitorComponents) {
    this.#components = components;
  }

  /** Starts polling. Idempotent. */
  start(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#known = this.#look();
    this.#arm();
  }

  /** Stops polling. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#closed) return;
    this.#due = this.#components.clock.date() + POLL_MS;
    this.#timer = this.#components.clock.setTimeout(() => { this.#poll(); }, POLL_MS);
  }

  #poll(): void {
    // The steady clock may stand still while the machine sleeps; the date doesn't.
    const late = this.#components.clock.date() - this.#due;
    const now = this.#look();
    const before = this.#known;
    this.#known = now ?? before;
    if (now !== undefined && before !== undefined) {
      const gone = new Set([...before].filter((address) => !now.has(address)));
      const come = new Set([...now].filter((address) => !before.has(address)));
      if (gone.size + come.size > 0) this.#tell({ kind: 'addresses', gone, come });
    }
    if (late > SLEEP_MS) this.#tell({ kind: 'wake', sleptMs: late });
    this.#arm();
  }

  #tell(change: NetworkChange): void {
    this.#components.log('info', `the network of this machine has changed: ${describeChange(change)}`);
    this.#components.onChange(change);
  }

  /** Returns the present addresses. @returns undefined if the system doesn't provide them, which is logged once */
  #look(): ReadonlySet<string> | undefined {
    try {
      const all = Object.values(this.#components.interfaces()).flatMap((addresses) => addresses ?? []);
      this.#blind = false;
      return new Set(all.filter(({ address, internal }) => !internal && matters(address)).map(({ address }) => address));
    } catch (thrown) {
      if (!this.#blind) this.#components.log('warn', `the network can't be watched: ${asProtoflyError(thrown).message}`);
      this.#blind = true;
      return undefined;
    }
  }
}
