import { asProtoflyError, ProtoflyError, type Address, type Clock, type RegistryRecord, type Timer } from '../../protocol/index.js';
import type { ConnectionChange } from './connection-list.js';
import type { P2pConnection } from './p2p-connection.js';

export interface ConnectingComponents {
  readonly clock: Clock;
  /** True if a connection to that runtime exists or is being set up. */
  readonly isBusy: (remoteRuntime: Address) => boolean;
  /** Begins a set-up. @throws ProtoflyError when it can't begin */
  readonly setUp: (record: RegistryRecord) => Promise<void>;
  /** Registers a listener for changes of state. @returns a function that removes it */
  readonly onChange: (listener: (change: ConnectionChange) => void) => () => void;
}

export interface ConnectingInit {
  readonly record: RegistryRecord;
  /** Called with each change of the connections to that runtime meanwhile. */
  readonly onChange: (change: ConnectionChange) => void;
  /** Timeout in milliseconds. */
  readonly setupMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Maximum time until the other side's set-up must arrive after this side gave way to it, in milliseconds. */
const GLARE_MS = 3000;

/**
 * Waits for a live connection to the runtime of a record, set up by either side. Begins a set-up if there is none.
 * @throws ProtoflyError `E_REFUSED`, `E_UNREACHABLE`, `E_TIMEOUT`, `E_ABORTED`
 */
export const connecting = ({ clock, isBusy, setUp, onChange: changes }: ConnectingComponents, { record, onChange, setupMs, signal }: ConnectingInit): Promise<P2pConnection> => {
  const { runtime: remoteRuntime } = record;
  return new Promise((resolve, reject) => {
    let glare: Timer | undefined;
    const end = (): void => {
      stop();
      timer.cancel();
      glare?.cancel();
      signal?.removeEventListener('abort', abort);
    };
    const abort = (): void => { end(); reject(new ProtoflyError('E_ABORTED', 'given up')); };
    const fail = (error: ProtoflyError): void => { end(); reject(error); };
    const stop = changes((change) => {
      if (change.connection.remoteRuntime !== remoteRuntime) return;
      onChange(change);
      if (change.now === 'live' && !change.connection.isSuspect) { end(); resolve(change.connection); }
      else if (change.now === 'failed' && !isBusy(remoteRuntime)) {
        // The other side's set-up failed: one from here may still succeed.
        if (change.connection.role === 'handler') begin();
        // It gave way to the other side's set-up, which may not have arrived yet.
        else if (change.connection.hasYielded) glare ??= clock.setTimeout(() => { if (!isBusy(remoteRuntime)) begin(); }, GLARE_MS);
        else fail(new ProtoflyError('E_UNREACHABLE', `no P2P connection: ${change.reason ?? 'it failed'}`, { hint: 'messages go through the message node meanwhile' }));
      }
    });
    const begin = (): void => { setUp(record).catch((thrown: unknown) => { fail(asProtoflyError(thrown)); }); };
    const timer = clock.setTimeout(() => {
      fail(new ProtoflyError('E_TIMEOUT', `no P2P connection to ${remoteRuntime} within ${String(setupMs)} ms`));
    }, setupMs);
    signal?.addEventListener('abort', abort);
    if (!isBusy(remoteRuntime)) begin();
  });
};
