/**
 * The mailbox of a message node: messages for receivers of the domain that are away, on disk until the receiver's
 * runtime says that it has them. It knows addresses and messages; sessions and links are the node's business.
 */
export * from './limits.js';
export * from './mailbox.js';
