/**
 * Links over byte streams: one frame a line. What `socket/` and `pipe/` share. It neither opens streams nor knows
 * where they lead.
 */
export { streamLink, type StreamEnds } from './stream-link.js';
