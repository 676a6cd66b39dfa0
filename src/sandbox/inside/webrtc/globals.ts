import { createRequire } from 'node:module';
import { networkInterfaces } from 'node:os';
import type * as Polyfill from 'node-datachannel/polyfill';
import type { IceTransportPolicy } from '../../../protocol/index.js';

export const hasOnlyLoopback = (): boolean => Object.values(networkInterfaces()).flat().every((address) => address?.internal !== false);

const NAMES = [
  'RTCPeerConnection', 'RTCSessionDescription', 'RTCIceCandidate', 'RTCDataChannel', 'RTCCertificate', 'RTCIceTransport', 'RTCDtlsTransport',
  'RTCSctpTransport', 'RTCDataChannelEvent', 'RTCPeerConnectionIceEvent', 'RTCError',
] as const;

/** The web standard's classes, loaded at their first use: stubs that use the engine don't pay for them. */
export const webRtcGlobals = (fixed: { readonly iceTransportPolicy?: IceTransportPolicy } = {}): Readonly<Record<string, unknown>> => {
  let loaded: typeof Polyfill | undefined;
  const load = (): typeof Polyfill => {
    if (loaded !== undefined) return loaded;
    const library = createRequire(import.meta.url)('node-datachannel/polyfill') as typeof Polyfill;
    // The polyfill passes unknown options on to the native library.
    const bound = hasOnlyLoopback() ? { bindAddress: '127.0.0.1' } : {};
    const RTCPeerConnection = class extends library.RTCPeerConnection {
      constructor(config: ConstructorParameters<typeof library.RTCPeerConnection>[0] = {}) {
        super(Object.assign({ iceServers: [] }, config, bound, fixed));
      }
    };
    loaded = { ...library, RTCPeerConnection };
    return loaded;
  };
  const globals = {};
  for (const name of NAMES) Object.defineProperty(globals, name, { enumerable: true, get: () => load()[name] });
  return globals;
};
