import type * as Library from 'node-datachannel';
import type { IceServer as NativeIceServer, PeerConnection, RtcConfig } from 'node-datachannel';
import { iceEndpoints, ProtoflyError, type Clock, type IceServer, type IceTransportPolicy, type WebRtcEngine, type WebRtcEvents } from '../../../protocol/index.js';
import { loadLibrary, type LibraryInit } from './library.js';
import { hasOnlyLoopback } from './platform.js';
import { NativePeer } from './peer.js';
import { candidatesOf, cleanDescription, eager, isEager } from './sdp.js';

export interface EngineComponents {
  readonly clock: Clock;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

/** Maximum wait for a first host candidate, in milliseconds. */
const GATHER_MS = 200;
/** Maximum time for which a peer that answers a non-eager offer holds back its candidates, in milliseconds. */
const HOLD_MS = 200;
/** Maximum time for which the answer to an eager offer waits for the first successful checks, in milliseconds. */
const CHECK_MS = 30;
/** Time after ICE has connected, in milliseconds. If the channel isn't open by then, the library is tested for a deadlock. */
const STALLED_MS = 5000;

export interface NativeWebRtcEngine extends WebRtcEngine {
  /** Number of open peers. */
  readonly size: number;
  /** Closes every peer and ends the library's threads. Blocks; call it once, when the process ends. Idempotent. */
  shutdown(): void;
}

/** Converts servers to the library's form. The library uses UDP only. */
const nativeServers = (servers: readonly IceServer[]): (string | NativeIceServer)[] =>
  iceEndpoints(servers).map(({ kind, host, port, username, credential }) => kind === 'turn' && username !== undefined && credential !== undefined
    ? { hostname: host, port, username, password: credential, relayType: 'TurnUdp' }
    : `stun:${host.includes(':') ? `[${host}]` : host}:${String(port)}`);

interface PeerInit {
  readonly iceServers: readonly IceServer[];
  readonly iceTransportPolicy?: IceTransportPolicy;
}

interface Made {
  readonly peer: NativePeer;
  readonly connection: PeerConnection;
  /** Resolves when host candidates are available, or after `GATHER_MS`. Never rejects. */
  readonly gathered: Promise<void>;
  /** Resolves when a pair of candidates works; may stay pending forever. */
  readonly connected: Promise<void>;
  /** From now on, reports candidates that aren't in `sdp` to the listener. */
  trickle(sdp: string): void;
}

/** Loads the library and creates the engine. @throws ProtoflyError `E_PLATFORM` if the library can't be loaded */
export const createWebRtcEngine = ({ clock, log }: EngineComponents, init: LibraryInit = {}): NativeWebRtcEngine => {
  const library = loadLibrary('node-datachannel', init) as typeof Library;
  const bound = hasOnlyLoopback() ? { bindAddress: '127.0.0.1' } : {};
  const peers = new Set<NativePeer>();
  let counter = 0;
  let ended = false;

  const make = ({ iceServers, iceTransportPolicy = 'all' }: PeerInit, events: WebRtcEvents): Made => {
    if (ended) throw new ProtoflyError('E_LINK_CLOSED', 'the WebRTC engine has been shut down');
    const config: RtcConfig = {
      iceServers: nativeServers(iceServers),
      iceTransportPolicy,
      ...bound,
    };
    let connection: PeerConnection;
    try {
      connection = new library.PeerConnection(`p${String(++counter)}`, config);
    } catch (cause) {
      throw new ProtoflyError('E_PLATFORM', 'no peer connection could be made', { cause });
    }
    const peer = new NativePeer(connection, { events, log, relayOnly: iceTransportPolicy === 'relay', onEnd: () => { peers.delete(peer); } });
    peers.add(peer);
    const early: [string, string][] = [];
    let tell = (candidate: string, mid: string): void => { early.push([candidate, mid]); };
    connection.onLocalCandidate((candidate, mid) => { tell(candidate, mid); });
    const gathered = new Promise<void>((resolve) => {
      const timer = clock.setTimeout(resolve, GATHER_MS);
      connection.onGatheringStateChange((state) => {
        if (state !== 'complete') return;
        timer.cancel();
        resolve();
      });
    });
    const connected = new Promise<void>((resolve) => {
      connection.onIceStateChange((state) => { if (state === 'connected' || state === 'completed') resolve(); });
    });
    if (init.isGuarded === true) void connected.then(() => clock.setTimeout(() => { peer.testForDeadlock(); }, STALLED_MS));
    return {
      peer, connection, gathered, connected,
      trickle: (sdp) => {
        tell = peer.trickle(candidatesOf(sdp));
        queueMicrotask(() => { for (const [candidate, mid] of early.splice(0)) tell(candidate, mid); });
      },
    };
  };

  /** Returns the local description as soon as it holds host candidates. */
  const describe = async ({ connection, gathered }: Made): Promise<string> => {
    const now = connection.localDescription()?.sdp;
    if (now !== undefined && candidatesOf(now).length > 0) return now;
    await gathered;
    const sdp = connection.localDescription()?.sdp;
    if (sdp === undefined) throw new ProtoflyError('E_PLATFORM', 'the WebRTC library made no description');
    return sdp;
  };

  const within = (promise: Promise<void>, milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = clock.setTimeout(resolve, milliseconds);
      void promise.then(() => { timer.cancel(); resolve(); });
    });

  const closing = async <T>(made: Made, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      made.peer.close();
      throw thrown instanceof ProtoflyError ? thrown : new ProtoflyError('E_PLATFORM', 'the WebRTC library failed', { cause: thrown });
    }
  };

  return {
    get size() {
      return peers.size;
    },
    offer: async ({ label, eager: eagerly, ...ice }, events) => {
      const made = make(ice, events);
      return closing(made, async () => {
        made.peer.openChannel(label);
        const described = await describe(made);
        const sdp = eagerly ? eager(described) : described;
        made.trickle(sdp);
        return { peer: made.peer, sdp };
      });
    },
    answer: async ({ sdp: offer, ...ice }, events) => {
      const clean = cleanDescription(offer);
      const made = make(ice, events);
      return closing(made, async () => {
        made.peer.setOffer(clean);
        const eagerly = isEager(clean);
        if (eagerly) made.peer.proceed();
        const sdp = await describe(made);
        // An eager offerer starts DTLS when it gets the answer. We must be connected by then, or a second is
        // lost.
        if (eagerly) await within(made.connected, CHECK_MS);
        clock.setTimeout(() => { made.peer.proceed(); }, HOLD_MS);
        made.trickle(sdp);
        return { peer: made.peer, sdp };
      });
    },
    shutdown: () => {
      if (ended) return;
      ended = true;
      for (const peer of [...peers]) peer.close();
      library.cleanup();
    },
  };
};
