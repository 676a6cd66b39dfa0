/**
 * File transfer between hyperties, for both ends of a conversation with a runtime (docs/protocol.md, "Files"). A file
 * is offered, sent in chunks that are acknowledged once written, and checked as a whole. It only sends and receives
 * messages: it doesn't route or connect, and leaves the use of a received file to the program.
 */
export * from './incoming.js';
export * from './names.js';
export * from './receiver.js';
export * from './save.js';
export * from './sender.js';
export * from './source.js';
export * from './wire.js';
