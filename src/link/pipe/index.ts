/**
 * Links between a process and its child, over a pipe of their own (descriptor 3); one frame a line. It neither starts
 * nor ends processes. And the news that the reader of a pipe has gone.
 */
export { LINK_FD, LINK_STDIO, parentLink, processLink } from './process-link.js';
export { watchReader } from './reader.js';
