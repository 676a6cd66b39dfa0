import type { Capability, Clock, StubSandbox, WebRtcEngine } from '../../../protocol/index.js';
import type { StubContext } from '../../contract/stub.js';
import { forbidAddons } from '../addons.js';
import { confinedFetch } from '../network/fetch.js';
import { confinedTcpSocket } from '../network/tcp.js';
import { confinedWebSocket } from '../network/websocket.js';
import type { LibraryInit, NativeWebRtcEngine } from '../webrtc/index.js';
import { FetchCalls } from './calls/fetch.js';
import type { CallGroup, Tell } from './calls/group.js';
import { PeerConnectionCalls } from './calls/peer-connections.js';
import { SocketCalls, type SocketKinds } from './calls/sockets.js';
import { WebRtcCalls } from './calls/webrtc.js';

export interface InterpreterCapabilities {
  /** Creates the host calls of all capabilities that one stub was granted. */
  provide(capabilities: readonly Capability[], stub: StubContext, tell: Tell): Promise<CallGroup[]>;
  shutdown(): void;
}

/** Creates what stubs in the interpreter are granted. Native code is loaded when WebRTC is first granted. */
export const createInterpreterCapabilities = ({ clock, log }: { readonly clock: Clock; readonly log: StubSandbox['log'] }, init: LibraryInit = {}): InterpreterCapabilities => {
  let engine: NativeWebRtcEngine | undefined;
  const webRtc = async (stub: StubContext, tell: Tell): Promise<CallGroup[]> => {
    const { createWebRtcEngine, loadPeerConnections } = await import('../webrtc/index.js');
    engine ??= createWebRtcEngine({ clock, log }, init);
    const made: WebRtcEngine = engine;
    const create = loadPeerConnections(init);
    forbidAddons();
    return [new WebRtcCalls({ engine: made, tell }, stub), new PeerConnectionCalls({ create, tell }, stub)];
  };
  return {
    provide: async (capabilities, stub, tell) => {
      const kinds: SocketKinds = {
        ...(capabilities.includes('websocket') ? { WebSocket: confinedWebSocket(stub) } : {}),
        ...(capabilities.includes('tcp') ? { TcpSocket: confinedTcpSocket(stub) } : {}),
      };
      return [
        new SocketCalls({ tell }, kinds),
        ...(capabilities.includes('http') ? [new FetchCalls({ fetch: confinedFetch(stub), tell })] : []),
        ...(capabilities.includes('webrtc') ? await webRtc(stub, tell) : []),
      ];
    },
    shutdown: () => { engine?.shutdown(); },
  };
};
