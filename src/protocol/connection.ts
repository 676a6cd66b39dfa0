import type { Address } from './address.js';
import { ProtoflyError } from './errors.js';

/**
 * The Connection data object, with which two P2P stubs exchange how to reach each other.
 * @see docs/protocol.md, "P2P connection set-up"
 */
export interface IceCandidate {
  readonly candidate: string;
  readonly sdpMid: string;
  readonly sdpMLineIndex?: number;
}

export interface ConnectionDescription {
  readonly type: 'offer' | 'answer';
  readonly sdp: string;
}

/** Framings of a data channel, best first. */
export const FRAMINGS = ['protofly/1', 'rethink/1'] as const;
export type Framing = (typeof FRAMINGS)[number];

/** The content that a stub writes into its Connection object. The sync manager adds `url`, `version` and others. */
export interface ConnectionValue {
  readonly name: string;
  /** Runtime URL of the reporter. */
  readonly runtime: string;
  readonly status: string;
  readonly connectionDescription: ConnectionDescription;
  readonly iceCandidates: readonly IceCandidate[];
  /** Number of the set-up between two runtimes; a higher one replaces a lower one. */
  readonly generation?: number;
  readonly framings?: readonly string[];
  /** Made by the runtime of the stub, not by the stub. @see ConnectionClaim */
  readonly signature?: string;
}

const P2P_STUB = /^hyperty-runtime:\/\/[^/]+\/[^/]+\/p2p(?:handler|requester)(?:\/|$)/;

/** True for the address of a P2P stub, and for those below it. */
export const isOfP2pStub = (address: Address): boolean => P2P_STUB.test(address);

/** The label of the only data channel. */
export const CHANNEL_LABEL = 'P2PChannel';

const MAX_SDP = 64 * 1024;
const MAX_CANDIDATES = 200;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const bad = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `bad Connection object: ${why}`);

export const isIceCandidate = (value: unknown): value is IceCandidate =>
  isRecord(value) &&
  typeof value['candidate'] === 'string' && value['candidate'].length <= 1024 &&
  typeof value['sdpMid'] === 'string' && value['sdpMid'].length <= 64 &&
  (value['sdpMLineIndex'] === undefined || Number.isSafeInteger(value['sdpMLineIndex']));

/**
 * Parses a candidate from a peer. A missing or null media id becomes "0", the only data channel's.
 * @throws ProtoflyError `E_MESSAGE`
 */
export const parseIceCandidate = (value: unknown): IceCandidate => {
  if (!isRecord(value)) throw bad('iceCandidates are not candidates');
  const { candidate, sdpMid, sdpMLineIndex } = value;
  const read = { candidate, sdpMid: sdpMid ?? '0', ...(sdpMLineIndex === undefined || sdpMLineIndex === null ? {} : { sdpMLineIndex }) };
  if (!isIceCandidate(read)) throw bad('iceCandidates are not candidates');
  return read;
};

/** Parses a Connection object from a peer. @throws ProtoflyError `E_MESSAGE` */
export const parseConnection = (value: unknown): ConnectionValue => {
  if (!isRecord(value)) throw bad('not an object');
  const { connectionDescription: description, iceCandidates: candidates = [], generation, framings, name, runtime, status } = value;
  if (!isRecord(description) || (description['type'] !== 'offer' && description['type'] !== 'answer')) throw bad('no offer or answer');
  if (typeof description['sdp'] !== 'string' || description['sdp'].length > MAX_SDP) throw bad('no SDP, or a huge one');
  if (!Array.isArray(candidates) || candidates.length > MAX_CANDIDATES) throw bad('iceCandidates is not a list, or a huge one');
  if (generation !== undefined && !(Number.isSafeInteger(generation) && (generation as number) >= 0)) throw bad('generation is not a whole number');
  if (framings !== undefined && !(Array.isArray(framings) && framings.every((framing) => typeof framing === 'string'))) throw bad('framings is not a list of names');
  return {
    name: typeof name === 'string' ? name : '',
    runtime: typeof runtime === 'string' ? runtime : '',
    status: typeof status === 'string' ? status : '',
    connectionDescription: { type: description['type'], sdp: description['sdp'] },
    iceCandidates: Array.from(candidates, parseIceCandidate),
    ...(generation === undefined ? {} : { generation: generation as number }),
    ...(framings === undefined ? {} : { framings }),
  };
};
