/**
 * Links over byte streams, one frame per line: the common part of `socket/` and `pipe/`. It opens no streams
 * and doesn't know where they lead.
 */
export { streamLink, type StreamEnds } from './stream-link.js';
