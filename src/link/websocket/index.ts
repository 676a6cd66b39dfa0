/**
 * Links over a WebSocket of the `ws` package, server or client side, one JSON message per text frame. Pings
 * keep them alive. This folder opens no connections and knows no sessions: a link's owner decides who may
 * speak.
 */
export { KEEP_ALIVE_MS, WEBSOCKET_OPTIONS,  websocketLink, type WebsocketInit } from './websocket-link.js';
