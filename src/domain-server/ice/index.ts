/**
 * The STUN and TURN servers that a domain offers its runtimes, as a function of the message node. It lists them, and
 * creates credentials for TURN servers that share its secret. It runs no such server and relays nothing.
 */
export {  iceFunction, IceOffer, type IceOfferInit } from './ice.js';
