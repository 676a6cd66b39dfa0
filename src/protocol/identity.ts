import { child, partsOf, type Address } from './address.js';
import type { RegistryRecord } from './record.js';

/** A runtime's id: SHA-256 of its Ed25519 public key (32 bytes), the first 16 bytes in lower-case hex. */
const RUNTIME_ID = /^[0-9a-f]{32}$/;

/** True if a runtime's URL can be the hash of a key. A party that speaks for such a runtime has to prove that it has the key. */
export const namesKey = (runtime: Address): boolean => RUNTIME_ID.test(partsOf(runtime).path);

/** The address at which a runtime signs for its message-node stubs. @see docs/protocol.md, "Identity" */
export const identityAddress = (runtime: Address): Address => child(runtime, 'identity');

/** The claim that a runtime signs to open or resume a session at a message node. The `typ` of the signature is `SESSION_CLAIM`. */
export interface SessionClaim {
  /** Domain of the message node. */
  readonly domain: string;
  /** The challenge of the message node. */
  readonly nonce: string;
  readonly runtime: Address;
  /** The certificate by which the runtime belongs to a user. Without one, the session is nobody's. */
  readonly certificate?: string;
  /** The token of an invitation, for a user whom the domain doesn't know. */
  readonly invite?: string;
  /** The runtime of the same user that is to certify this one. The session can do nothing but ask it. */
  readonly device?: Address;
}

export const SESSION_CLAIM = 'protofly-session';

/**
 * The claim with which a user says that a runtime is his. The `typ` of the signature is `DEVICE_CLAIM`.
 * @see docs/protocol.md, IDN-6
 */
export interface DeviceClaim {
  /** `user://<domain>/<name>` */
  readonly user: Address;
  readonly runtime: Address;
  /** The user's name for the machine. */
  readonly name: string;
  /** ISO 8601, at most 30 days later. */
  readonly expires: string;
  /** Ids of the runtimes that are no longer his, though a certificate says so. */
  readonly removed: readonly string[];
}

export const DEVICE_CLAIM = 'protofly-device';

/** The function of a domain that admits users. @see docs/protocol.md, IDN-8 */
export const admissionAddress = (domain: string): Address => `domain://admission.${domain}` as Address;

/** The address at which a runtime certifies other runtimes of its user. @see docs/protocol.md, IDN-7 */
export const devicesAddress = (runtime: Address): Address => child(runtime, 'devices');

/** The address of the record that says whose a runtime is. @see docs/protocol.md, IDN-9 */
export const userRecordAddress = (runtime: Address): Address => child(runtime, 'user');

/**
 * The claim that a runtime signs for its Connection object, so that no message node can swap the description of a connection. The
 * `typ` of the signature is `CONNECTION_CLAIM`. @see docs/protocol.md, P2P-18
 */
export interface ConnectionClaim {
  /** The runtime that reports the object. */
  readonly from: Address;
  /** The runtime that is invited to observe it. */
  readonly to: Address;
  readonly role: 'offer' | 'answer';
  /** SHA-256 of the SDP, in base64url. It covers the fingerprint of the DTLS certificate and the ICE credentials. */
  readonly sdp: string;
  /** The object's generation, if it has one. */
  readonly generation?: number;
  /** Random text. */
  readonly nonce: string;
  /** ISO 8601. */
  readonly expires: string;
  /** In an answer: SHA-256 of the signature of the offer, in base64url. */
  readonly offer?: string;
}

export const CONNECTION_CLAIM = 'protofly-connection';

/** The fields of a registry record that its runtime signs. The others are the registry's, like `status`. */
export const SIGNED_FIELDS = ['url', 'runtime', 'user', 'guid', 'name', 'descriptor', 'p2pHandler', 'p2pRequester', 'delivery', 'dataSchemes', 'resources', 'certificate'] as const;

/** The claim that a runtime signs for a registry record. The `typ` of the signature is `RECORD_CLAIM`. @see docs/protocol.md, "Domain registry" */
export interface RecordClaim extends Pick<RegistryRecord, (typeof SIGNED_FIELDS)[number]> {
  /** A later signature has a higher one. */
  readonly serial: number;
  /** ISO 8601. */
  readonly until: string;
}

export const RECORD_CLAIM = 'protofly-record';
