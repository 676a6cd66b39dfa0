/**
 * Which STUN and TURN servers this runtime's set-ups use: those of its settings, and those that its domain offers,
 * with credentials that are fresh. It tells whoever asks or listens; it speaks to none of the servers (`stun/` does
 * that for the doctor, and WebRTC in its sandbox).
 */
export { IceConfiguration, type Ice, type IceComponents, type IceInit } from './configuration.js';
