/**
 * The mailbox of a message node: messages on disk for receivers of the domain that are away, until the receiver's
 * runtime acknowledges them. It knows addresses and messages; sessions and links belong to the node.
 */
export * from './limits.js';
export * from './mailbox.js';
