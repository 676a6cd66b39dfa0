/**
 * Asks STUN and TURN servers what they see of this machine: whether UDP passes, how a NAT maps, whether a relay is
 * given. It is for telling a person what stands in the way; connections are made by WebRTC in its sandbox, which has a
 * client of its own.
 */
export { probeNetwork, type Mapping, type NetworkReport, type ProbeComponents, type ServerReport } from './probe.js';
export { StunSocket, type StunAnswer } from './socket.js';
export { decodeStun, encodeStun, type StunMessage } from './packet.js';
