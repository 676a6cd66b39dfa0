/**
 * Links: ordered, reliable, two-way streams of items to one other party. This folder has the port, the codecs
 * and the code that all technologies share. Each technology has a folder of its own: `memory/`, `socket/`,
 * `pipe/`, `websocket/`, and `mux/`, which puts many links on one. Import a technology by its own path, so that
 * unused ones aren't loaded. A link knows no addresses and routes nothing.
 */
export * from './codec.js';
export * from './link.js';
