/**
 * Who a runtime is: an Ed25519 key, made at the first start and kept, from which the runtime's id and guid derive.
 * Signing and checking come on top of it; what a domain or peer believes of it is not decided here.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { formatAddress, type Address } from '../../protocol/index.js';
import type { Store } from '../../store/index.js';

export interface Identity {
  /** The same for the same key, whatever the domain. */
  readonly runtimeId: string;
  /** `user-guid://<fingerprint of the public key>` */
  readonly guid: Address;
  /** Both halves of the key, PKCS #8 and SPKI in PEM. */
  readonly privateKey: string;
  readonly publicKey: string;
}

interface Kept {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Loads the identity that the store holds, or makes one and keeps it. @throws ProtoflyError `E_STORE` */
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
