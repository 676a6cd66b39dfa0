/**
 * The users whom this runtime has met: their keys, who they are at the other end of a message, and which of them may
 * reach this runtime.
 */
export { AcceptPolicy } from './accept-policy.js';
export { Contacts, type Contact } from './contacts.js';
export { Guests } from './guests.js';
export { Knocks, type Knock } from './knocks.js';
export { Senders, type Sender } from './senders.js';
