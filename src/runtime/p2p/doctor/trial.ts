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
  /** The reason for a failure. */
  readonly reason?: string;
}

const isRelay = (end: unknown): boolean => typeof end === 'string' && end.endsWith(' relay');

export const isRelayed = ({ details }: P2pConnection): boolean => {
  const { local, remote } = (details['pair'] ?? {}) as { readonly local?: unknown; readonly remote?: unknown };
  return isRelay(local) || isRelay(remote);
};

/** True if the other side took part: it answered, began a set-up itself, or claimed precedence for its own. */
const tookPart = ({ role, hasYielded, details }: P2pConnection): boolean => role === 'handler' || hasYielded || details['answered'] === true;

const succeeded = (connection: P2pConnection): Tried => ({ trial: { result: 'live', relayed: isRelayed(connection) }, connection });

/**
 * Sets up a connection to the runtime of a record, unless one is live, and returns the result. Both sides may try at once
 * and repeatedly. The other side counts as having answered if it took part in any of these set-ups. Never rejects.
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
