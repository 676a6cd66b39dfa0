/**
 * The REST side of a message node: sessions over plain HTTP requests, for clients and networks where a WebSocket isn't
 * to be had. Messages are POSTed in batches and fetched by long poll or as an event stream; to the message node each
 * session is a link like any other. It routes nothing, knows no tokens but by their hash, and opens no port: the domain
 * server hands it the requests that are for it.
 */
export { REST_LIMITS, type RestLimits } from './limits.js';
export { isForRest, Rest, type RestComponents, type RestInit } from './rest.js';
