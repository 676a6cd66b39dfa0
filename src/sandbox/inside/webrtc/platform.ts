import { networkInterfaces } from 'node:os';
import type * as Polyfill from 'node-datachannel/polyfill';
import type { IceServer, IceTransportPolicy } from '../../../protocol/index.js';
import { loadLibrary, type LibraryInit } from './library.js';

export const hasOnlyLoopback = (): boolean => Object.values(networkInterfaces()).flat().every((address) => address?.internal !== false);

type PlatformConfig = NonNullable<ConstructorParameters<typeof Polyfill.RTCPeerConnection>[0]> & { readonly iceServers?: unknown };

/** The settings of a connection that a stub may choose. */
export interface ConnectionConfig {
  readonly iceServers?: readonly IceServer[];
  readonly iceTransportPolicy?: IceTransportPolicy;
}
export type PlatformConnection = InstanceType<typeof Polyfill.RTCPeerConnection>;
export type PlatformChannel = ReturnType<PlatformConnection['createDataChannel']>;

/** Loads the web standard's RTCPeerConnection. @returns a function that creates one. @throws ProtoflyError `E_PLATFORM` */
export const loadPeerConnections = (init: LibraryInit = {}): ((config: ConnectionConfig) => PlatformConnection) => {
  const { RTCPeerConnection } = loadLibrary('node-datachannel/polyfill', init) as typeof Polyfill;
  // The polyfill passes unknown options on to the native library.
  const bound = hasOnlyLoopback() ? { bindAddress: '127.0.0.1' } : {};
  return ({ iceServers = [], iceTransportPolicy }) =>
    new RTCPeerConnection({ iceServers: iceServers as NonNullable<PlatformConfig['iceServers']>, ...(iceTransportPolicy === undefined ? {} : { iceTransportPolicy }), ...bound } as PlatformConfig);
};
