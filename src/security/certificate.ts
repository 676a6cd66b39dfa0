import { DEVICE_CLAIM, isAddress, isUserName, parseAddress, partsOf, ProtoflyError, type Address, type DeviceClaim } from '../protocol/index.js';
import { readClaim, type IdentityKey } from './identity-key.js';

/** Lifetime of a certificate, in milliseconds. */
export const CERTIFICATE_TTL_MS = 30 * 24 * 3600 * 1000;
/** Difference between the clocks of two machines that is allowed, in milliseconds. */
const CLOCKS_MS = 3600 * 1000;
/** Maximum number of removed runtimes that one certificate names. */
export const MAX_REMOVED = 100;
/** Maximum length of the name of a machine, in UTF-16 code units. */
export const MAX_DEVICE_NAME = 64;
const RUNTIME_ID = /^[0-9a-f]{32}$/;

/** True if an address is that of a user, with a name that can't be taken for something else. */
const isUser = (address: Address): boolean => {
  const { scheme, path } = partsOf(address);
  return scheme === 'user' && isUserName(path);
};

/** A certificate that was checked. */
export interface Certificate extends DeviceClaim {
  /** SHA-256 of the user's public key, in hex. */
  readonly userKey: string;
}

/** Signs a certificate with the key of its user. */
export const signCertificate = (key: IdentityKey, claim: DeviceClaim): Promise<string> => key.sign(DEVICE_CLAIM, claim);

/** True if the text can be the name of a machine: a short one without control characters. */
export const isDeviceName = (name: unknown): name is string => typeof name === 'string' && name.length > 0 && name.length <= MAX_DEVICE_NAME && !/\p{C}/u.test(name);

/**
 * Checks that some user says that a runtime is his. The caller judges the user's key, and the date with
 * `checkCertificateDate`.
 * @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE`
 */
export const readCertificate = async (jws: unknown, runtime: Address): Promise<Certificate> => {
  const what = `the certificate of ${runtime}`;
  if (typeof jws !== 'string') throw new ProtoflyError('E_CERTIFICATE', `${what} is missing`);
  const { claim: { user, runtime: certified, name, expires, removed }, fingerprint } = await readClaim(jws, DEVICE_CLAIM, what);
  if (!isAddress(user) || !isUser(parseAddress(user)) || typeof expires !== 'string' || Number.isNaN(Date.parse(expires)) || !isDeviceName(name)
    || !Array.isArray(removed) || removed.length > MAX_REMOVED || !removed.every((id) => typeof id === 'string' && RUNTIME_ID.test(id))) {
    throw new ProtoflyError('E_CERTIFICATE', `${what} says something else than a certificate does`);
  }
  if (certified !== runtime) throw new ProtoflyError('E_CERTIFICATE', `${what} is for another runtime`);
  return { user: parseAddress(user), runtime, name, expires, removed: removed as string[], userKey: fingerprint };
};

/** Checks that a certificate is valid now, and for no longer than it may be. @param now in milliseconds since 1970 @throws ProtoflyError `E_EXPIRED` */
export const checkCertificateDate = ({ expires, runtime }: Certificate, now: number): void => {
  const left = Date.parse(expires) - now;
  if (left >= -CLOCKS_MS && left <= CERTIFICATE_TTL_MS + CLOCKS_MS) return;
  throw new ProtoflyError('E_EXPIRED', `the certificate of ${runtime} is valid until ${expires}, and it is ${new Date(now).toISOString()} here`, {
    hint: 'a runtime renews it as long as a machine with its user\'s key is on; are the clocks right?',
  });
};
