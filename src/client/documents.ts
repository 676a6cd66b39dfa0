import type { Address } from '../protocol/index.js';

/** The documents that daemons return about themselves (docs/control.md), with the fields that are printed. */
export interface Session {
  readonly runtime: Address;
  readonly address?: Address;
  readonly domain: string;
  readonly user?: Address;
  /** The window of a program to one receiver, in bytes. */
  readonly window?: number;
}

export interface RuntimeStatus {
  readonly runtime: Address;
  readonly domain: string;
  readonly user?: string;
  readonly pid: number;
  readonly version: string;
  readonly startedAt: string;
  readonly state: 'starting' | 'live' | 'degraded';
  readonly reason?: string;
  /** The reason why no message-node stub could be deployed. */
  readonly refusal?: { readonly code: string; readonly message: string; readonly hint?: string };
  readonly messageNode?: { readonly stub?: string; readonly status?: string; readonly url?: string };
  readonly p2p?: { readonly enabled: boolean; readonly handler?: string; readonly status?: string };
  readonly hyperties?: unknown;
  readonly connections?: unknown;
  readonly socket?: string;
  readonly log?: string;
  /** The last change of the machine's network since the runtime started, in words. */
  readonly network?: { readonly at: string; readonly change: string };
  /** The messages on disk that wait to be sent. */
  readonly outbox?: { readonly messages: number; readonly bytes: number };
  readonly counters?: Readonly<Record<string, unknown>>;
}

export interface HypertyInfo {
  readonly url: Address;
  readonly name: string;
  readonly user?: string;
  readonly resources?: readonly string[];
  readonly dataSchemes?: readonly string[];
  readonly p2p?: boolean;
  readonly status: string;
  readonly attached?: number;
  readonly inbox?: { readonly messages: number; readonly bytes: number };
}

export interface StubInfo {
  readonly url: Address;
  readonly kind: string;
  readonly domain?: string;
  readonly origin?: string;
  readonly version?: string;
  /** Content address of the code: `sha256-<hex>`. */
  readonly hash?: string;
  readonly from?: 'catalogue' | 'cache' | 'built-in';
  /** Id of the publisher key that signed the code. */
  readonly keyId?: string;
  readonly status: string;
  readonly description?: string;
  readonly pid?: number;
  readonly since?: string;
  readonly sent?: number;
  readonly received?: number;
  /** The number of messages refused because the stub was not allowed to deliver them. */
  readonly refused?: number;
}

export interface ConnectionInfo {
  readonly address: Address;
  readonly stub: Address;
  readonly role: string;
  readonly remoteRuntime: Address;
  readonly status: string;
  readonly reason?: string;
  readonly since?: string;
  readonly generation?: number;
  readonly health?: 'good' | 'suspect';
  readonly rttMs?: number;
  readonly pair?: { readonly local?: unknown; readonly remote?: unknown };
  readonly setupMs?: number;
  readonly sent?: number;
  readonly received?: number;
}

/** One change of a P2P connection. */
export interface ConnectionChange {
  readonly connection: ConnectionInfo;
  readonly was?: string;
  readonly now: string;
  readonly reason?: string;
}

export interface Resolution {
  readonly address: Address;
  readonly path: string;
  readonly stub?: string;
  readonly steps: readonly { readonly step: string; readonly result: unknown }[];
}

/** The user of a runtime: docs/control.md, "The user". */
export interface UserInfo {
  readonly user: Address;
  readonly runtime: Address;
  /** SHA-256 of the user's public key, in hex. */
  readonly userKey?: string;
  /** SHA-256 of the runtime's public key, in hex. */
  readonly runtimeKey: string;
  /** The user's name for this machine. */
  readonly device: string;
  /** Time until which the certificate is valid, in ISO 8601. Absent without a certificate. */
  readonly expires?: string;
  /** The runtime that certifies this one. Absent if the user's key is on this machine. */
  readonly issuer?: Address;
}

/** A runtime that a user has certified. */
export interface DeviceInfo {
  readonly runtime: Address;
  readonly name: string;
  /** ISO 8601 */
  readonly added: string;
  /** ISO 8601 */
  readonly removed?: string;
}

/** A user whom a runtime has met. */
export interface ContactInfo {
  readonly user: Address;
  /** SHA-256 of his public key, in hex. */
  readonly key?: string;
  /** ISO 8601 */
  readonly since: string;
  readonly state: 'seen' | 'accepted' | 'blocked';
  /** Time at which the safety number was compared, in ISO 8601. */
  readonly verified?: string;
  /** Another key that has been shown as his since. */
  readonly otherKey?: string;
}

/** The first message of somebody whom a runtime's user hasn't accepted. */
export interface KnockInfo {
  readonly from: Address;
  /** The user who has proved that the address is his. */
  readonly user?: Address;
  /** The user that the address's record names without a proof. */
  readonly claimed?: Address;
  readonly text?: string;
  /** ISO 8601 */
  readonly at: string;
}

/** The sender at an address. */
export interface SenderInfo {
  readonly address: Address;
  /** The user who has proved that the address is his. */
  readonly user?: Address;
  /** The user that the address's record names without a proof. */
  readonly claimed?: Address;
  /** The name of the hyperty. */
  readonly name?: string;
  readonly verified: boolean;
}

/** A user of a domain, as its operator sees him. */
export interface MemberInfo {
  readonly user: Address;
  /** SHA-256 of his public key, in hex. */
  readonly key: string;
  /** ISO 8601 */
  readonly since: string;
  /** ISO 8601 */
  readonly removed?: string;
  readonly removedRuntimes: readonly string[];
}

/** The status of a domain server: docs/control.md, "The domain server's socket". */
export interface DomainStatus {
  readonly domain: string;
  /** The address that it listens on. */
  readonly url: string;
  /** The URL that its documents carry, if it was given one. */
  readonly publicUrl?: string;
  readonly pid: number;
  readonly version: string;
  readonly startedAt: string;
  readonly protocols?: readonly string[];
  /** The kind of its admission. */
  readonly admission?: 'open' | 'invite';
  /** Id of the current signing key. */
  readonly publisherKey?: string;
  readonly sessions: number;
  readonly addresses: number;
  readonly subscriptions: number;
  readonly hyperties: number;
  readonly messages?: Readonly<Record<string, number>>;
  /** Refused requests by what was wrong with them, or what was used up. */
  readonly refused?: Readonly<Record<string, number>>;
  readonly rates?: Readonly<Record<string, number>>;
  /** The mailbox: messages stored for receivers that are away. */
  readonly mailbox?: Readonly<Record<'messages' | 'bytes' | 'delivered' | 'expired' | 'refused', number>>;
}
