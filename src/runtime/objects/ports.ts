import type { MessageBus, Origin } from '../../bus/index.js';
import type { Address, Clock, Message, Backpressure, Request } from '../../protocol/index.js';

/** The message-node side of the runtime, as far as data objects need it. What waits here has a time limit of its own. */
export interface SyncRoutes {
  /** Has the runtime's own domain allocate one address. @throws ProtoflyError as the domain refuses */
  allocate(scheme: string): Promise<Address>;
  /** Has messages to these addresses come to this runtime. The message node is that of the addresses' domain. */
  subscribe(addresses: readonly Address[]): Promise<void>;
  unsubscribe(addresses: readonly Address[]): Promise<void>;
  /** Sends a message to all who subscribed to its `to`, through the message-node stub of that address's domain, in order. */
  publish(message: Message): Backpressure;
}

export interface SyncComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly routes: SyncRoutes;
}

/** What the objects of one manager share. */
export interface SyncContext extends SyncComponents {
  /** `<runtime>/sm` */
  readonly address: Address;
  readonly timeoutMs: number;
  readonly inviteTimeoutMs: number;
  readonly log: (level: 'debug' | 'warn', text: string) => void;
  /** Whether a message came from another runtime. */
  readonly isOutside: (message: Message, origin: Origin | undefined) => boolean;
  /** An id for a message that isn't answered. */
  readonly nextId: () => string;
  /** Tells a client here: always from the manager's address to the client's own. */
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

/** Waits for work that is to be done in any case, but not for longer than `milliseconds`. Failures go to `onFailure`. */
export const settled = async (clock: Clock, milliseconds: number, work: readonly Promise<unknown>[], onFailure: (thrown: unknown) => void): Promise<void> => {
  const done = new AbortController();
  const all = Promise.all(work.map((one) => one.catch(onFailure))).then(() => { done.abort(); });
  await Promise.race([all, pause(clock, milliseconds, done.signal)]);
  done.abort();
};
