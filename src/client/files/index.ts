/**
 * Files between hyperties, as both ends of a conversation with a runtime see them (docs/protocol.md, "Files"): a file is
 * offered, sent in chunks that are answered when they are written, and checked as a whole. Messages are all that travels:
 * nothing here routes or connects, and what a program does with a file that has come is its own business.
 */
export * from './incoming.js';
export * from './names.js';
export * from './receiver.js';
export * from './save.js';
export * from './sender.js';
export * from './source.js';
export * from './wire.js';
