import type { Clock, StubSandbox, WebRtcEngine, Capability } from '../../../protocol/index.js';
import type { StubContext } from '../../contract/stub.js';
import type { LibraryInit, NativeWebRtcEngine } from '../webrtc/index.js';

/** The form of a granted capability: properties of the stub's sandbox object. */
export type Provided = Partial<StubSandbox>;

/** Creates a capability for one stub. Called once per deployment. */
export type CapabilityProvider = (capability: Capability, stub: StubContext) => Promise<Provided>;

/**
 * Loads the code of a capability when it is first granted, so that a sandbox without WebRTC holds no native
 * code. An object made for one stub reaches only that stub's servers.
 */
export const createCapabilities = ({ clock, log }: { readonly clock: Clock; readonly log: StubSandbox['log'] }, init: LibraryInit = {}): {
  readonly provide: CapabilityProvider;
  readonly shutdown: () => void;
} => {
  let engine: NativeWebRtcEngine | undefined;
  return {
    provide: async (capability, stub) => {
      switch (capability) {
        case 'websocket': {
          const WebSocket = (await import('../network/websocket.js')).confinedWebSocket(stub);
          return { WebSocket };
        }
        case 'http': {
          const fetch = (await import('../network/fetch.js')).confinedFetch(stub);
          return { fetch };
        }
        case 'tcp': {
          const TcpSocket = (await import('../network/tcp.js')).confinedTcpSocket(stub);
          return { TcpSocket };
        }
        case 'webrtc': {
          const { createWebRtcEngine } = await import('../webrtc/index.js');
          engine ??= createWebRtcEngine({ clock, log }, init);
          const { offer, answer } = engine;
          const bound = stub.relayOnly ? { iceTransportPolicy: 'relay' } as const : {};
          const webrtc: WebRtcEngine = {
            offer: (init, events) => offer({ ...init, ...bound }, events),
            answer: (init, events) => answer({ ...init, ...bound }, events),
          };
          return { webrtc };
        }
      }
    },
    shutdown: () => { engine?.shutdown(); },
  };
};
