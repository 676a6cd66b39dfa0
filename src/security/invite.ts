import { isAddress, parseAddress, partsOf, ProtoflyError, type Address } from '../protocol/index.js';

/** The content of an invitation, the text that the operator of a domain gives to a user to come. */
export interface Invite {
  /** Base URL of the domain server. */
  readonly url: string;
  readonly user: Address;
  /** Id of the domain's publisher key. */
  readonly key: string;
  /** Good for one user's key, until it expires. */
  readonly token: string;
}

/** The content of a device code, the text with which a runtime of a user has another one certified. */
export interface DeviceCode {
  /** Base URL of the domain server. */
  readonly url: string;
  readonly user: Address;
  /** SHA-256 of the user's public key, in hex. */
  readonly userKey: string;
  /** Id of the domain's publisher key that the certifying runtime trusts. */
  readonly key: string;
  /** The runtime that certifies. */
  readonly runtime: Address;
  /** Good for one runtime, until it expires. */
  readonly secret: string;
}

const INVITE = 'pfi_';
const DEVICE = 'pfd_';
const MAX_LENGTH = 4096;

const packed = (prefix: string, fields: readonly string[]): string => prefix + Buffer.from(JSON.stringify(fields)).toString('base64url');

/** @throws ProtoflyError `E_USAGE` */
const unpacked = (prefix: string, text: string, count: number, what: string): readonly string[] => {
  try {
    if (!text.startsWith(prefix) || text.length > MAX_LENGTH) throw new TypeError('another text');
    const fields: unknown = JSON.parse(Buffer.from(text.slice(prefix.length), 'base64url').toString());
    if (Array.isArray(fields) && fields.length === count && fields.every((field) => typeof field === 'string')) return fields;
    throw new TypeError('other fields');
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `that is no ${what}, or not all of it`, { hint: `it is one long word that begins with ${prefix}`, cause });
  }
};

const userIn = (text: string | undefined, what: string): Address => {
  if (isAddress(text) && partsOf(parseAddress(text)).scheme === 'user') return parseAddress(text);
  throw new ProtoflyError('E_USAGE', `the ${what} names no user`);
};

export const inviteText = ({ url, user, key, token }: Invite): string => packed(INVITE, [url, user, key, token]);

/** @throws ProtoflyError `E_USAGE` */
export const parseInvite = (text: string): Invite => {
  const [url = '', user, key = '', token = ''] = unpacked(INVITE, text.trim(), 4, 'invitation');
  return { url, user: userIn(user, 'invitation'), key, token };
};

export const deviceCodeText = ({ url, user, userKey, key, runtime, secret }: DeviceCode): string => packed(DEVICE, [url, user, userKey, key, runtime, secret]);

/** @throws ProtoflyError `E_USAGE` */
export const parseDeviceCode = (text: string): DeviceCode => {
  const [url = '', user, userKey = '', key = '', runtime, secret = ''] = unpacked(DEVICE, text.trim(), 6, 'device code');
  if (!isAddress(runtime) || partsOf(parseAddress(runtime)).scheme !== 'hyperty-runtime') throw new ProtoflyError('E_USAGE', 'the device code names no runtime');
  return { url, user: userIn(user, 'device code'), userKey, key, runtime: parseAddress(runtime), secret };
};
