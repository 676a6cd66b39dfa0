/**
 * The identity of a runtime: an Ed25519 key, made at the first start and stored. The runtime's id and guid derive from
 * it. Signatures are made and checked elsewhere, and so is trust in the key.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { formatAddress, type Address } from '../../protocol/index.js';
import type { Store } from '../../store/index.js';

export interface Identity {
  /** Depends only on the key, not on the domain. */
  readonly runtimeId: string;
  /** `user-guid://<fingerprint of the public key>` */
  readonly guid: Address;
  /** The private key in PEM (PKCS #8); the public key is SPKI in PEM. */
  readonly privateKey: string;
  readonly publicKey: string;
}

interface Kept {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Loads the identity from the store, or creates and stores one. @throws ProtoflyError `E_STORE` */
export const loadIdentity = async (store: Store): Promise<Identity> => {
  const kept = store.collection<Kept>('identity');
  let keys = kept.get('runtime');
  if (keys === undefined) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519', {
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    keys = { privateKey, publicKey };
    await kept.put('runtime', keys);
  }
  const fingerprint = createHash('sha256').update(keys.publicKey).digest();
  return {
    ...keys,
    runtimeId: fingerprint.subarray(0, 10).toString('hex'),
    guid: formatAddress({ scheme: 'user-guid', domain: fingerprint.toString('hex'), path: '' }),
  };
};
