/**
 * Links: ordered, reliable, two-way streams of items to one other party. Here are the port, the codecs and what
 * decides nothing about a technology; each technology is a folder of its own, imported by its own path, so that nobody
 * loads one that he doesn't use: `memory/`, `socket/`, `pipe/`, `websocket/`, and `mux/`, which puts many links on one.
 * A link knows nothing of addresses and routes nothing.
 */
export * from './codec.js';
export * from './link.js';
