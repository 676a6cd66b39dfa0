/**
 * The STUN and TURN servers that a domain has for its runtimes, as a function of the message node: it lists them, and
 * makes the credentials that a TURN server with the same secret takes. It runs no such server, and relays nothing.
 */
export { DEFAULT_TTL_S, iceFunction, IceOffer, type IceOfferInit } from './ice.js';
