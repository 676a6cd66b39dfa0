import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { CompactSign, compactVerify, EmbeddedJWK } from 'jose';
import { asProtoflyError, ProtoflyError } from '../protocol/index.js';

/** Largest claim that is read unless its kind may be larger, in characters. */
const MAX_LENGTH = 16 * 1024;
/** The 32 bytes of a key in base64url. */
const KEY = /^[\w-]{43}$/;
const HEADERS: ReadonlySet<string> = new Set(['alg', 'typ', 'jwk']);
const RUNTIME_ID_LENGTH = 32;
const ALGORITHM = 'EdDSA';

/** Returns the SHA-256 of a public key, in hex. Its first half is the runtime's id. @param x the key's 32 bytes in base64url */
const fingerprintOf = (x: string): string => createHash('sha256').update(Buffer.from(x, 'base64url')).digest('hex');

/** Returns what a claim says, unchecked. Undefined if it can't be read. */
export const claimIn = (jws: string): Readonly<Record<string, unknown>> | undefined => {
  try {
    const claim: unknown = JSON.parse(Buffer.from(jws.split('.', 2)[1] ?? '', 'base64url').toString());
    return typeof claim === 'object' && claim !== null ? (claim as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
};

/** Makes an Ed25519 key. @returns the private key in PEM (PKCS #8) */
export const makePem = (): string => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** The Ed25519 key of a runtime or a user. It signs claims of the named types and nothing else. */
export class IdentityKey {
  /** The id of a runtime with this key. */
  readonly id: string;
  /** SHA-256 of the public key, in hex. */
  readonly fingerprint: string;
  readonly #key: KeyObject;
  readonly #x: string;

  /** @param pem the private key (PKCS #8) */
  constructor(pem: string) {
    this.#key = createPrivateKey(pem);
    const { x = '' } = createPublicKey(this.#key).export({ format: 'jwk' });
    this.#x = x;
    this.fingerprint = fingerprintOf(x);
    this.id = this.fingerprint.slice(0, RUNTIME_ID_LENGTH);
  }

  /** Signs a claim as a compact JWS with the public key in its header. `typ` names its kind: it counts for no other. */
  sign(typ: string, claim: object): Promise<string> {
    return new CompactSign(new TextEncoder().encode(JSON.stringify(claim)))
      .setProtectedHeader({ alg: ALGORITHM, typ, jwk: { kty: 'OKP', crv: 'Ed25519', x: this.#x } })
      .sign(this.#key);
  }
}

export interface Claimed {
  readonly claim: Readonly<Record<string, unknown>>;
  /** Id of a runtime with the key that made the signature. */
  readonly runtimeId: string;
  /** SHA-256 of that key, in hex. */
  readonly fingerprint: string;
}

/**
 * Checks a claim that was signed by a runtime or a user. The caller compares the key, and judges what the claim says.
 * @param what name of the claim in errors
 * @param maxLength in UTF-16 code units
 * @throws ProtoflyError `E_SIGNATURE`
 */
export const readClaim = async (jws: string, typ: string, what: string, maxLength = MAX_LENGTH): Promise<Claimed> => {
  try {
    if (jws.length > maxLength) throw new ProtoflyError('E_SIGNATURE', `${what} is too long`);
    const { payload, protectedHeader } = await compactVerify(jws, EmbeddedJWK, { algorithms: [ALGORITHM] });
    if (protectedHeader.typ !== typ) throw new ProtoflyError('E_SIGNATURE', `the signature of ${what} has another purpose: ${String(protectedHeader.typ)}`);
    const { kty, crv, x } = protectedHeader.jwk ?? {};
    if (kty !== 'OKP' || crv !== 'Ed25519' || typeof x !== 'string' || !KEY.test(x) || Object.keys(protectedHeader).some((name) => !HEADERS.has(name))) throw new ProtoflyError('E_SIGNATURE', `${what} is signed in another manner`);
    const claim: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    if (typeof claim !== 'object' || claim === null || Array.isArray(claim)) throw new ProtoflyError('E_SIGNATURE', `${what} says nothing`);
    const fingerprint = fingerprintOf(x);
    return { claim: claim as Record<string, unknown>, runtimeId: fingerprint.slice(0, RUNTIME_ID_LENGTH), fingerprint };
  } catch (thrown) {
    if (thrown instanceof ProtoflyError) throw thrown;
    throw new ProtoflyError('E_SIGNATURE', `the signature of ${what} doesn't hold: ${asProtoflyError(thrown).message}`, { cause: thrown });
  }
};
