/**
 * The STUN and TURN servers for this runtime's P2P set-ups: those of its settings, and those that its domain offers with
 * fresh credentials. This module speaks to none of the servers; `stun/` does so for the doctor, and WebRTC in its
 * sandbox.
 */
export { IceConfiguration, type Ice, type IceComponents, type IceInit } from './configuration.js';
