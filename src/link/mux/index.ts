/**
 * Many links on one link of text frames: named channels of messages, each with a flow control of its own. What runs in
 * a sandbox process talks to the runtime over these. It isn't a protocol for strangers: both ends are this code.
 */
export { Mux, type MuxInit, type OnChannel } from './mux.js';
