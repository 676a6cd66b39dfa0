import type { MessageBus, Origin } from '../../bus/index.js';
import type { Address, Cause, Clock, Message, Backpressure, Request } from '../../protocol/index.js';

/** The message-node operations that data objects need. Each has its own timeout. */
export interface SyncRoutes {
  /** Lets this runtime turn to the domain of an address. @throws ProtoflyError `E_STRANGER` */
  admit(address: Address, cause: Cause): void;
  /** Allocates `number` addresses in the runtime's own domain. @throws ProtoflyError as the domain refuses */
  allocate(scheme: string, number: number): Promise<Address[]>;
  /** Subscribes to messages to these addresses, at the message nodes of their domains. */
  subscribe(addresses: readonly Address[]): Promise<void>;
  unsubscribe(addresses: readonly Address[]): Promise<void>;
  /** Sends a message to all subscribers of its `to`, in order, through the message-node stub of that address's domain. */
  publish(message: Message): Backpressure;
}

/** Signs data objects before they are made. */
export interface ObjectSigner {
  /** Returns what an object has to carry besides its reporter's attributes. */
  sign(reporter: Address, invited: readonly Address[], data: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>>;
}

export interface SyncComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly routes: SyncRoutes;
  readonly hosts: {
    /** Returns the runtime that hosts an address, according to its registry. @throws ProtoflyError `E_UNREACHABLE` when it can't be asked */
    hostOf(address: Address): Promise<Address | undefined>;
  };
  /** Signs Connection objects. @default they aren't signed */
  readonly signer?: ObjectSigner;
}

/** Shared by the objects of one manager. */
export interface SyncContext extends SyncComponents {
  /** `<runtime>/sm` */
  readonly address: Address;
  readonly timeoutMs: number;
  readonly inviteTimeoutMs: number;
  readonly log: (level: 'debug' | 'warn', text: string) => void;
  /** True if a message came from another runtime. */
  readonly isOutside: (message: Message, origin: Origin | undefined) => boolean;
  /** Returns an id for a message that isn't answered. */
  readonly nextId: () => string;
  /** Sends a message to a client here, from the manager's address to the client's own. */
  readonly tell: (client: Address, type: Request['type'], body: Request['body']) => Backpressure;
}

/** Waits `milliseconds`, or until `signal` is aborted. */
export const pause = (clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) { resolve(); return; }
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
  });

/** Waits for operations that must be tried, up to `milliseconds`. Failures go to `onFailure`. */
export const settled = async (clock: Clock, milliseconds: number, work: readonly Promise<unknown>[], onFailure: (thrown: unknown) => void): Promise<void> => {
  const done = new AbortController();
  const all = Promise.all(work.map((one) => one.catch(onFailure))).then(() => { done.abort(); });
  await Promise.race([all, pause(clock, milliseconds, done.signal)]);
  done.abort();
};
