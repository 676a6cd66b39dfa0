/**
 * The WebRTC engine of a sandbox process: peer connections with one data channel each, over node-datachannel.
 * Only this folder loads the native library, when an engine is created and not on import. It knows no
 * signalling, framing or messages; those belong to the stubs.
 */
export { createWebRtcEngine, type EngineComponents, type NativeWebRtcEngine } from './engine.js';
export { cleanDescription, usableCandidate } from './sdp.js';
export type { LibraryInit } from './library.js';
export { loadPeerConnections, type ConnectionConfig, type PlatformChannel, type PlatformConnection } from './platform.js';
