/**
 * The WebRTC engine of a sandbox process: peer connections with one data channel each, over node-datachannel. This is
 * the only place that loads the native library, and it does so when an engine is made, not on import. It knows no
 * signalling, no framing and no messages; those are the stubs' business.
 */
export { createWebRtcEngine, type EngineComponents, type EngineInit, type NativeWebRtcEngine } from './engine.js';
export { webRtcGlobals } from './globals.js';
