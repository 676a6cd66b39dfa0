/**
 * Links between a process and its child, over a pipe of their own (descriptor 3); one frame a line. It neither starts
 * nor ends processes.
 */
export { LINK_FD, LINK_STDIO, parentLink, processLink } from './process-link.js';
