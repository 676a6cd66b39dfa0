/**
 * The REST side of a message node: sessions over plain HTTP requests, for clients and networks without WebSockets.
 * Clients POST messages in batches, and fetch them by long poll or as an event stream. To the message node, each
 * session is a link like any other. It routes nothing, knows tokens only by their hash, and opens no port: the domain
 * server passes the requests on.
 */
export {  type RestLimits } from './limits.js';
export { isForRest, Rest, type RestComponents, type RestInit } from './rest.js';
