import { calculateJwkThumbprint, CompactSign, compactVerify, exportJWK, generateKeyPair, importJWK } from 'jose';
import { parsePublicKey, type PublicKey } from '../protocol/descriptor.js';
import { asProtoflyError, ProtoflyError } from '../protocol/index.js';

/** A publisher's key with both halves. `d` is the private half. */
export interface PublisherKey extends PublicKey {
  readonly d: string;
}

/** The only algorithm: Ed25519. */
const ALGORITHM = 'EdDSA';
const ENDORSEMENT = 'protofly-endorsement';

export const generatePublisherKey = async (): Promise<PublisherKey> => {
  const { privateKey } = await generateKeyPair('Ed25519', { extractable: true });
  const { x = '', d = '' } = await exportJWK(privateKey);
  return { kty: 'OKP', crv: 'Ed25519', x, d, kid: await thumbprint(x) };
};

const thumbprint = (x: string): Promise<string> => calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x });

/** Returns the public half. */
export const publicHalf = ({ kty, crv, x, kid }: PublicKey): PublicKey => ({ kty, crv, x, kid });

/**
 * Parses a public key from outside and verifies its `kid`: a forged `kid` could stand for a trusted key.
 * @throws ProtoflyError `E_DESCRIPTOR`
 */
export const checkPublicKey = async (value: unknown): Promise<PublicKey> => {
  const key = parsePublicKey(value);
  if (key.kid !== (await thumbprint(key.x))) throw new ProtoflyError('E_DESCRIPTOR', 'bad publisher key: its kid is not its RFC 7638 thumbprint');
  return key;
};

/** Signs text. `typ` names its kind, so that a signature never counts for another kind. */
export const sign = async (key: PublisherKey, typ: string, text: string): Promise<string> =>
  new CompactSign(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: ALGORITHM, kid: key.kid, typ })
    .sign(await importJWK({ ...key }, ALGORITHM));

export interface Verified {
  readonly text: string;
  readonly keyId: string;
}

/**
 * Verifies a signature against `keys` and returns the signed text.
 * @throws ProtoflyError `E_UNSIGNED` without a signature, `E_PUBLISHER` for a key not in `keys`, `E_SIGNATURE`
 */
export const verify = async (signature: string, typ: string, keys: readonly PublicKey[], what: string): Promise<Verified> => {
  if (signature === '') throw new ProtoflyError('E_UNSIGNED', `${what} is not signed`);
  let keyId: string | undefined;
  try {
    const { payload, protectedHeader } = await compactVerify(signature, (header) => {
      keyId = header.kid;
      const key = keys.find(({ kid }) => kid === header.kid);
      if (key === undefined) throw new ProtoflyError('E_PUBLISHER', `${what} is signed by an unknown key: ${String(header.kid)}`);
      return importJWK(publicHalf(key), ALGORITHM);
    }, { algorithms: [ALGORITHM] });
    if (protectedHeader.typ !== typ) throw new ProtoflyError('E_SIGNATURE', `the signature of ${what} has another purpose: ${String(protectedHeader.typ)}`);
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(payload), keyId: keyId! };
  } catch (thrown) {
    if (thrown instanceof ProtoflyError) throw thrown;
    throw new ProtoflyError('E_SIGNATURE', `the signature of ${what} by the key ${keyId ?? '(unreadable)'} doesn't hold: ${asProtoflyError(thrown).message}`, { cause: thrown });
  }
};

/** Signs an endorsement: it names another key of the same domain as the successor of `key`. */
export const endorse = (key: PublisherKey, domain: string, successor: PublicKey): Promise<string> =>
  sign(key, ENDORSEMENT, JSON.stringify({ domain, successor: successor.kid }));

/** True if one of `keys` endorses `successor` for `domain`. Other content of the endorsement is ignored. */
export const isEndorsed = async (endorsement: string, domain: string, successor: PublicKey, keys: readonly PublicKey[]): Promise<boolean> => {
  try {
    const { text } = await verify(endorsement, ENDORSEMENT, keys, 'the endorsement');
    const said: unknown = JSON.parse(text);
    return typeof said === 'object' && said !== null && (said as { domain?: unknown }).domain === domain && (said as { successor?: unknown }).successor === successor.kid;
  } catch {
    return false;
  }
};
