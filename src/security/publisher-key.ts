import { calculateJwkThumbprint, CompactSign, compactVerify, exportJWK, generateKeyPair, importJWK } from 'jose';
import { parsePublicKey, type PublicKey } from '../protocol/descriptor.js';
import { asProtoflyError, ProtoflyError } from '../protocol/index.js';

/** A publisher's key with both halves. `d` is the secret one. */
export interface PublisherKey extends PublicKey {
  readonly d: string;
}

/** The only algorithm: Ed25519. */
export const ALGORITHM = 'EdDSA';
const ENDORSEMENT = 'protofly-endorsement';

/** Makes a key. */
export const generatePublisherKey = async (): Promise<PublisherKey> => {
  const { privateKey } = await generateKeyPair('Ed25519', { extractable: true });
  const { x = '', d = '' } = await exportJWK(privateKey);
  return { kty: 'OKP', crv: 'Ed25519', x, d, kid: await thumbprint(x) };
};

const thumbprint = (x: string): Promise<string> => calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x });

/** The half that everybody may know. */
export const publicHalf = ({ kty, crv, x, kid }: PublicKey): PublicKey => ({ kty, crv, x, kid });

/**
 * A public key from outside, its `kid` checked against it: a `kid` that is made up could stand for a key that is believed.
 * @throws ProtoflyError `E_DESCRIPTOR`
 */
export const checkPublicKey = async (value: unknown): Promise<PublicKey> => {
  const key = parsePublicKey(value);
  if (key.kid !== (await thumbprint(key.x))) throw new ProtoflyError('E_DESCRIPTOR', 'bad publisher key: its kid is not its RFC 7638 thumbprint');
  return key;
};

/** Signs text. `typ` says what it is, so that a signature over one thing never counts for another. */
export const sign = async (key: PublisherKey, typ: string, text: string): Promise<string> =>
  new CompactSign(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: ALGORITHM, kid: key.kid, typ })
    .sign(await importJWK({ ...key }, ALGORITHM));

export interface Verified {
  readonly text: string;
  readonly keyId: string;
}

/**
 * What a signature covers, once it has been checked against one of `keys`.
 * @throws ProtoflyError `E_UNSIGNED` when there is none, `E_PUBLISHER` for a key that isn't among them, `E_SIGNATURE`
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
    if (protectedHeader.typ !== typ) throw new ProtoflyError('E_SIGNATURE', `the signature of ${what} is for something else: ${String(protectedHeader.typ)}`);
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(payload), keyId: keyId! };
  } catch (thrown) {
    if (thrown instanceof ProtoflyError) throw thrown;
    throw new ProtoflyError('E_SIGNATURE', `the signature of ${what} by the key ${keyId ?? '(unreadable)'} doesn't hold: ${asProtoflyError(thrown).message}`, { cause: thrown });
  }
};

/** Has a key say that another one of the same domain is its successor. */
export const endorse = (key: PublisherKey, domain: string, successor: PublicKey): Promise<string> =>
  sign(key, ENDORSEMENT, JSON.stringify({ domain, successor: successor.kid }));

/** Whether one of `keys` says that `successor` comes after it. Anything else that may be in an endorsement counts for nothing. */
export const isEndorsed = async (endorsement: string, domain: string, successor: PublicKey, keys: readonly PublicKey[]): Promise<boolean> => {
  try {
    const { text } = await verify(endorsement, ENDORSEMENT, keys, 'the endorsement');
    const said: unknown = JSON.parse(text);
    return typeof said === 'object' && said !== null && (said as { domain?: unknown }).domain === domain && (said as { successor?: unknown }).successor === successor.kid;
  } catch {
    return false;
  }
};
