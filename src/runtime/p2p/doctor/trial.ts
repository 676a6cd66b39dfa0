import { asProtoflyError, type Address, type RegistryRecord } from '../../../protocol/index.js';
import type { ConnectionChange } from '../connection-list.js';
import type { P2pConnection } from '../p2p-connection.js';
import type { Trial } from './verdict.js';

export interface TrialComponents {
  live(remoteRuntime: Address): P2pConnection | undefined;
  list(): P2pConnection[];
  connect(record: RegistryRecord, onChange: (change: ConnectionChange) => void, signal?: AbortSignal): Promise<P2pConnection>;
}

export interface Tried {
  readonly trial: Trial;
  readonly connection?: P2pConnection;
  /** Why it failed. */
  readonly reason?: string;
}

const isRelay = (end: unknown): boolean => typeof end === 'string' && end.endsWith(' relay');

export const isRelayed = ({ details }: P2pConnection): boolean => {
  const { local, remote } = (details['pair'] ?? {}) as { readonly local?: unknown; readonly remote?: unknown };
  return isRelay(local) || isRelay(remote);
};

/** Whether the other side has done its part: it has answered, has begun itself, or says that its own set-up goes first. */
const tookPart = ({ role, hasYielded, details }: P2pConnection): boolean => role === 'handler' || hasYielded || details['answered'] === true;

const succeeded = (connection: P2pConnection): Tried => ({ trial: { result: 'live', relayed: isRelayed(connection) }, connection });

/**
 * Has a connection set up to the runtime of a record, unless one is live, and tells how that went. Both sides may try at
 * once, and more than once: what any of these set-ups shows of the other side counts. Never rejects.
 */
export const tryConnection = async (connections: TrialComponents, record: RegistryRecord, signal?: AbortSignal): Promise<Tried> => {
  const { runtime } = record;
  const found = connections.live(runtime);
  if (found !== undefined) return succeeded(found);
  const seen = new Set(connections.list().filter(({ remoteRuntime, status }) => remoteRuntime === runtime && (status === 'created' || status === 'in-progress')));
  try {
    return succeeded(await connections.connect(record, ({ connection, now }) => { if (now !== 'ended') seen.add(connection); }, signal));
  } catch (thrown) {
    return { trial: { result: 'failed', answered: [...seen].some(tookPart) }, reason: asProtoflyError(thrown).message };
  }
};
