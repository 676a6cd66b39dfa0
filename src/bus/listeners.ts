import { isWithin, ProtoflyError, type Address, type Message, type Backpressure, type ReceivedVia } from '../protocol/index.js';

/** The link or component from which a message came to the bus. Compared by identity. */
export interface Origin {
  /** Its address. */
  readonly name: string;
  /** The path by which messages from other runtimes reach this origin. @default none: it brings no such messages */
  readonly via?: ReceivedVia;
  /** True for a program of this runtime. @default false */
  readonly isProgram?: boolean;
}

/** Returns the path and connection of a message, from its origin. */
export const receivedVia = (origin: Origin | undefined): ReceivedVia => origin?.via ?? { path: 'local' };

/** True for a message from another runtime or a message node. False for a message that the stub itself created. */
export const isForeign = ({ from }: Message, origin: Origin | undefined): boolean => origin?.via !== undefined && !isWithin(from, origin.name as Address);

/** Takes a message. If it throws, or its promise rejects, the error is answered to the sender. */
export type Listener = (message: Message, origin: Origin | undefined) => Backpressure;

export interface Entry {
  readonly listener: Listener;
  /** The link behind the listener. Messages from that link are not delivered to it. */
  readonly owner: Origin | undefined;
}

const schemeOf = (address: Address): string => address.slice(0, address.indexOf(':'));

/** The listeners: many per address, one per subtree. The cost of a lookup doesn't depend on their number. */
export class Listeners {
  readonly #exact = new Map<string, readonly Entry[]>();
  readonly #subtrees = new Map<string, Entry>();
  /** The number of subtrees per scheme. It lets `find` skip the subtree search for schemes without any. */
  readonly #schemes = new Map<string, number>();

  /** @returns a function that removes the entry; idempotent */
  add(address: Address, entry: Entry): () => void {
    this.#exact.set(address, [...(this.#exact.get(address) ?? []), entry]);
    return () => {
      const left = (this.#exact.get(address) ?? []).filter((other) => other !== entry);
      if (left.length === 0) this.#exact.delete(address);
      else this.#exact.set(address, left);
    };
  }

  /**
   * @returns a function that removes the entry; idempotent
   * @throws ProtoflyError `E_CONFLICT` if there is one already
   */
  addSubtree(ancestor: Address, entry: Entry): () => void {
    if (this.#subtrees.has(ancestor)) throw new ProtoflyError('E_CONFLICT', `${ancestor} has a listener already`);
    this.#subtrees.set(ancestor, entry);
    this.#count(ancestor, 1);
    return () => {
      if (this.#subtrees.get(ancestor) !== entry) return;
      this.#subtrees.delete(ancestor);
      this.#count(ancestor, -1);
    };
  }

  /**
   * Returns the entries of an address, else the nearest entry above it, without those owned by `origin`. Undefined if
   * there are none.
   */
  find(to: Address, origin: Origin | undefined): readonly Entry[] | undefined {
    const exact = this.#exact.get(to);
    if (exact !== undefined) {
      const others = origin === undefined ? exact : exact.filter((entry) => entry.owner === undefined || entry.owner !== origin);
      if (others.length > 0) return others;
    }
    if (!this.#schemes.has(schemeOf(to))) return undefined;
    for (let end = to.length; end > 0; end = to.lastIndexOf('/', end - 1)) {
      const entry = this.#subtrees.get(to.slice(0, end));
      if (entry !== undefined && (entry.owner === undefined || entry.owner !== origin)) return [entry];
    }
    return undefined;
  }

  #count(ancestor: Address, by: 1 | -1): void {
    const scheme = schemeOf(ancestor);
    const count = (this.#schemes.get(scheme) ?? 0) + by;
    if (count === 0) this.#schemes.delete(scheme);
    else this.#schemes.set(scheme, count);
  }
}
