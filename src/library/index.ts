/**
 * The library for programs that are hyperties. `Node` is a runtime as seen by a program; `Hyperty` is one of its
 * addresses. Both talk to the runtime over a link, like every program (docs/control.md). The library itself doesn't
 * route, store or connect.
 */
import { connectSocket } from '../link/socket/index.js';
import { memoryPair } from '../link/memory/index.js';
import { domainUrl } from '../client/domain-url.js';
import { profilePlaces, userKeysFolder } from '../client/paths.js';
import { asProtoflyError, ProtoflyError, systemClock, type IceServer, type IceTransportPolicy, type Message } from '../protocol/index.js';
import { inProcessSandbox, processSandbox, Runtime, type Log } from '../runtime/index.js';
import { userKeyFiles } from '../security/file-keeper.js';
import { parseInvite } from '../security/invite.js';
import { memoryStore, type Store } from '../store/index.js';
import { Node } from './node.js';

export { domainHome, type DomainHome } from './domain-home.js';
export type { ConnectionChange, ConnectionInfo, RuntimeStatus, SenderInfo } from '../client/documents.js';
export type { SavedFile, SentFile } from '../client/files/index.js';
export { Hyperty, type Received, type ReceiveOptions, type SendFileOptions, type SendOptions } from './hyperty.js';
export { Node, type Criteria, type RegisterOptions } from './node.js';
export type { Receipt } from './receipt.js';

export interface StartOptions {
  /** The domain: a URL like `http://localhost:9090`, `host:port`, a name in `domains`, or a name in DNS. */
  readonly domain: string;
  /** A user's name in that domain. */
  readonly user: string;
  /** The word that `protofly domain invite` has printed for the user. @default none */
  readonly invite?: string;
  /**
   * Folder of the state, where the runtime keeps its address and hyperties.
   * @default in memory, with a new address each time
   */
  readonly state?: string;
  /** True to offer and set up P2P connections. @default true */
  readonly p2p?: boolean;
  /** ICE servers in addition to those of the domain. @default none */
  readonly iceServers?: readonly IceServer[];
  /** With `relay`, direct connections only go through TURN servers. @default 'all' */
  readonly iceTransportPolicy?: IceTransportPolicy;
  /** The window of one sender to one receiver, in bytes. @default 1 MiB */
  readonly window?: number;
  /** Base URLs of other domains by name, for domains without DNS. @default none */
  readonly domains?: Readonly<Record<string, string>>;
  /** The sandbox of the protostubs. `in-process` starts faster but isolates nothing. @default 'process' */
  readonly sandbox?: 'process' | 'in-process';
  /** Time for the runtime to become live, in milliseconds. @default 10_000 */
  readonly timeoutMs?: number;
  /** Takes the lines of the log. @default nothing is logged */
  readonly log?: Log;
}

const openStore = async (state: string | undefined): Promise<Store> => {
  if (state === undefined) return memoryStore();
  const { openLmdbStore } = await import('../store/lmdb/index.js');
  return openLmdbStore({ path: state });
};

const untilLive = async (runtime: Runtime, timeoutMs: number): Promise<void> => {
  try {
    await runtime.whenLive(AbortSignal.timeout(timeoutMs));
  } catch (thrown) {
    throw new ProtoflyError('E_TIMEOUT', `after ${String(timeoutMs)} ms ${asProtoflyError(thrown).message}`, { cause: thrown });
  }
};

/**
 * Starts a runtime in this process and waits until it is live.
 * @throws ProtoflyError `E_UNREACHABLE`, `E_TIMEOUT` if it isn't live in time, `E_USAGE`, `E_STORE`
 */
export const startRuntime = async (options: StartOptions): Promise<Node> => {
  const { user, invite, state, p2p, iceServers, iceTransportPolicy, domains, window, sandbox = 'process', timeoutMs = 10_000, log = () => undefined } = options;
  const { url } = domainUrl(options.domain, domains ?? {});
  const invited = invite === undefined ? undefined : parseInvite(invite);
  const store = await openStore(state);
  const sandboxes = sandbox === 'process' ? processSandbox({ log, caFile: process.env['NODE_EXTRA_CA_CERTS'] }) : inProcessSandbox({ log });
  let runtime: Runtime | undefined;
  const stop = async (): Promise<void> => {
    try {
      await runtime?.stop();
    } finally {
      await store.close();
    }
  };
  try {
    runtime = await Runtime.start(
      { store, sandboxes, clock: systemClock, fetch, log, userKeys: userKeyFiles(userKeysFolder(process.env)) },
      {
        domainUrl: url, user, version: 'library', isTransient: state === undefined,
        ...(invited === undefined ? {} : { invite: invited.token, trust: invited.key }),
        ...(p2p === undefined ? {} : { p2p }), ...(iceServers === undefined ? {} : { iceServers }), ...(iceTransportPolicy === undefined ? {} : { iceTransportPolicy }), ...(domains === undefined ? {} : { domains }),
        ...(window === undefined ? {} : { window }),
      },
    );
    await untilLive(runtime, timeoutMs);
    const [near, far] = memoryPair<Message>({ name: 'program' });
    runtime.serve(far);
    return await Node.open(near, { end: stop, transient: state === undefined });
  } catch (thrown) {
    await stop();
    throw thrown;
  }
};

/**
 * Connects to the runtime daemon of a profile.
 * @param profile
 * @default the variable `PROTOFLY_PROFILE`, or 'default'
 * @throws ProtoflyError `E_NOT_RUNNING`, `E_REFUSED` if the daemon belongs to another user
 */
export const connectRuntime = async (profile?: string, env: Readonly<Record<string, string | undefined>> = process.env): Promise<Node> => {
  const { socket } = profilePlaces(profile ?? (env['PROTOFLY_PROFILE'] || 'default'), env);
  return Node.open(await connectSocket(socket), { end: () => Promise.resolve(), transient: false, socket });
};
