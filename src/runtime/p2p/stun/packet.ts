import { createHash, createHmac } from 'node:crypto';

/** STUN messages (RFC 8489), and the attributes of TURN (RFC 8656) that are needed to request a relay. */

const COOKIE = 0x2112a442;
const HEADER = 20;
const INTEGRITY = 24;

const METHOD = { binding: 0x001, allocate: 0x003, refresh: 0x004 } as const;
export type Method = keyof typeof METHOD;

const ATTRIBUTE = {
  mappedAddress: 0x0001, username: 0x0006, messageIntegrity: 0x0008, errorCode: 0x0009, lifetime: 0x000d, realm: 0x0014, nonce: 0x0015,
  xorRelayedAddress: 0x0016, requestedTransport: 0x0019, xorMappedAddress: 0x0020, otherAddress: 0x802c,
} as const;

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly realm: string;
  readonly nonce: Buffer;
}

export interface StunRequest {
  readonly method: Method;
  /** 12 random bytes. */
  readonly transaction: Buffer;
  /** Lifetime of an allocation in seconds. */
  readonly lifetime?: number;
  readonly credentials?: Credentials;
}

/** A response, with the attributes used here. */
export interface StunMessage {
  readonly transaction: Buffer;
  readonly success: boolean;
  readonly error?: number;
  readonly reason?: string;
  readonly mapped?: Endpoint;
  readonly relayed?: Endpoint;
  /** Another address of the same server. */
  readonly other?: Endpoint;
  readonly realm?: string;
  readonly nonce?: Buffer;
}

const attribute = (type: number, value: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
};

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const header = (method: Method, length: number, transaction: Buffer): Buffer => {
  const head = Buffer.alloc(HEADER);
  head.writeUInt16BE(METHOD[method], 0);
  head.writeUInt16BE(length, 2);
  head.writeUInt32BE(COOKIE, 4);
  transaction.copy(head, 8, 0, 12);
  return head;
};

export const encodeStun = ({ method, transaction, lifetime, credentials }: StunRequest): Buffer => {
  const attributes = [
    ...(method === 'allocate' ? [attribute(ATTRIBUTE.requestedTransport, Buffer.from([17, 0, 0, 0]))] : []),
    ...(lifetime === undefined ? [] : [attribute(ATTRIBUTE.lifetime, uint32(lifetime))]),
    ...(credentials === undefined ? [] : [
      attribute(ATTRIBUTE.username, Buffer.from(credentials.username)),
      attribute(ATTRIBUTE.realm, Buffer.from(credentials.realm)),
      attribute(ATTRIBUTE.nonce, credentials.nonce),
    ]),
  ];
  const body = Buffer.concat(attributes);
  if (credentials === undefined) return Buffer.concat([header(method, body.length, transaction), body]);
  const { username, realm, password } = credentials;
  const key = createHash('md5').update(`${username}:${realm}:${password}`).digest();
  const signed = Buffer.concat([header(method, body.length + INTEGRITY, transaction), body]);
  return Buffer.concat([signed, attribute(ATTRIBUTE.messageIntegrity, createHmac('sha1', key).update(signed).digest())]);
};

/** Parses an address attribute. `xor` is the value with which its bytes were combined. */
const endpointIn = (value: Buffer, xor: Buffer | undefined): Endpoint | undefined => {
  const size = value[1] === 1 ? 4 : value[1] === 2 ? 16 : 0;
  if (size === 0 || value.length < 4 + size) return undefined;
  const port = value.readUInt16BE(2) ^ (xor === undefined ? 0 : xor.readUInt16BE(0));
  const bytes = Array.from(value.subarray(4, 4 + size), (byte, at) => byte ^ (xor?.[at] ?? 0));
  if (size === 4) return { address: bytes.join('.'), port };
  const groups = Array.from({ length: 8 }, (_, at) => (((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0)).toString(16));
  return { address: groups.join(':'), port };
};

/** Returns attributes by type, the first of each; undefined if the lengths are invalid. */
const attributesIn = (body: Buffer): Map<number, Buffer> | undefined => {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < body.length;) {
    if (at + 4 > body.length) return undefined;
    const [type, length] = [body.readUInt16BE(at), body.readUInt16BE(at + 2)];
    const end = at + 4 + length;
    if (end > body.length) return undefined;
    if (!found.has(type)) found.set(type, body.subarray(at + 4, end));
    at = end + ((4 - (length % 4)) % 4);
  }
  return found;
};

/** Parses a response; undefined if the packet is none. */
export const decodeStun = (packet: Buffer): StunMessage | undefined => {
  if (packet.length < HEADER || packet.readUInt32BE(4) !== COOKIE) return undefined;
  const kind = packet.readUInt16BE(0) & 0x0110;
  const length = packet.readUInt16BE(2);
  if ((kind !== 0x0100 && kind !== 0x0110) || HEADER + length > packet.length) return undefined;
  const attributes = attributesIn(packet.subarray(HEADER, HEADER + length));
  if (attributes === undefined) return undefined;
  const [xorMapped, plain, relayed, other, code, realm, nonce] = (['xorMappedAddress', 'mappedAddress', 'xorRelayedAddress', 'otherAddress', 'errorCode', 'realm', 'nonce'] as const)
    .map((name) => attributes.get(ATTRIBUTE[name]));
  const xor = packet.subarray(4, HEADER);
  const mapped = (xorMapped && endpointIn(xorMapped, xor)) ?? (plain && endpointIn(plain, undefined));
  const relay = relayed && endpointIn(relayed, xor);
  const elsewhere = other && endpointIn(other, undefined);
  return {
    transaction: packet.subarray(8, HEADER),
    success: kind === 0x0100,
    ...(code === undefined || code.length < 4 ? {} : { error: (code[2]! & 7) * 100 + code[3]!, reason: code.subarray(4).toString('utf8').slice(0, 128) }),
    ...(mapped === undefined ? {} : { mapped }),
    ...(relay === undefined ? {} : { relayed: relay }),
    ...(elsewhere === undefined ? {} : { other: elsewhere }),
    ...(realm === undefined ? {} : { realm: realm.toString('utf8').slice(0, 512) }),
    ...(nonce === undefined ? {} : { nonce: Buffer.from(nonce) }),
  };
};

export const formatEndpoint = ({ address, port }: Endpoint): string => `${address.includes(':') ? `[${address}]` : address}:${String(port)}`;
