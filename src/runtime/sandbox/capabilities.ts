import { ProtoflyError, type Clock, type StubSandbox } from '../../protocol/index.js';
import type { CapabilityProvider } from './host.js';
import type { createWebRtcEngine } from './webrtc/index.js';

/** Loads what a stub was granted when it is first granted, so that a sandbox without WebRTC holds no native code. */
export const createCapabilities = ({ clock, log }: { readonly clock: Clock; readonly log: StubSandbox['log'] }): {
  readonly provide: CapabilityProvider;
  readonly shutdown: () => Promise<void>;
} => {
  let engine: ReturnType<typeof createWebRtcEngine> | undefined;
  return {
    provide: async (capability) => {
      switch (capability) {
        case 'websocket': {
          const { WebSocket } = await import('ws');
          return { WebSocket: WebSocket as unknown as NonNullable<StubSandbox['WebSocket']> };
        }
        case 'webrtc': {
          engine ??= import('./webrtc/index.js').then((engines) => engines.createWebRtcEngine({ clock, log }));
          return { webrtc: await engine };
        }
        case 'http':
        case 'tcp': throw new ProtoflyError('E_PLATFORM', `this sandbox has no ${capability}`);
      }
    },
    shutdown: async () => { (await engine)?.shutdown(); },
  };
};
