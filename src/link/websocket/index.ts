/**
 * Links over a WebSocket of the `ws` package, of the server's side or the client's; one JSON message a text frame,
 * kept alive with pings. It opens no connections and knows no sessions: who may speak is its owner's business.
 */
export { KEEP_ALIVE_MS, WEBSOCKET_OPTIONS, websocketFrameLink, websocketLink, type WebsocketInit } from './websocket-link.js';
