/**
 * Many links on one link of text frames: named channels of messages, each with flow control of its own. The
 * runtime and its sandbox processes talk over these channels. It isn't a protocol for strangers: both ends run
 * this code.
 */
export { Mux, type MuxInit, type OnChannel } from './mux.js';
