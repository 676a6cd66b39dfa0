/**
 * Asks STUN and TURN servers about this machine's network: whether UDP passes, how the NAT maps ports, and whether a
 * relay is available. This is for diagnosis only. Connections are made by WebRTC in its sandbox, which has a client of
 * its own.
 */
export { probeNetwork, type Mapping, type NetworkReport, type ProbeComponents, type ServerReport } from './probe.js';
export { StunSocket, type StunAnswer } from './socket.js';
export { decodeStun,  type StunMessage } from './packet.js';
