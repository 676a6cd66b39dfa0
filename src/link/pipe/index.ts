/**
 * Links between a process and its child, over a pipe of their own (descriptor 3), one frame per line. Also
 * detects that the reader of a pipe has gone. This folder neither starts nor ends processes.
 */
export {  LINK_STDIO, parentLink, processLink } from './process-link.js';
;
