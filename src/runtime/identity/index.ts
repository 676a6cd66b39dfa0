/**
 * The identity of a runtime: an Ed25519 key, made at the first start and stored. The runtime's id and guid derive from
 * it.
 */
import { formatAddress, ProtoflyError, type Address } from '../../protocol/index.js';
import { IdentityKey, makePem } from '../../security/identity-key.js';
import type { Store } from '../../store/index.js';

export { UserIdentity, type CertificateRequest, type KeptCode, type KeptMembership } from './user-identity.js';
export { UserKeys, type Device } from './user-keys.js';

export interface Identity {
  readonly key: IdentityKey;
  /** `user-guid://<fingerprint of the public key>` */
  readonly guid: Address;
}

interface Kept {
  /** In PEM (PKCS #8). */
  readonly privateKey: string;
  /** Only in the state of early previews, in which a runtime's id was another hash. */
  readonly publicKey?: string;
}

/** Loads the identity from the store, or creates and stores one. @throws ProtoflyError `E_STORE` */
export const loadIdentity = async (store: Store): Promise<Identity> => {
  const kept = store.collection<Kept>('identity');
  let keys = kept.get('runtime');
  if (keys === undefined) {
    keys = { privateKey: makePem() };
    await kept.put('runtime', keys);
  }
  if (keys.publicKey !== undefined) {
    throw new ProtoflyError('E_STORE', 'this state is of an early preview: its hyperties belong to a runtime whose name is bound to no key', { hint: 'move the state away (protofly config path --json names its folder), and register the hyperties again' });
  }
  const key = new IdentityKey(keys.privateKey);
  return { key, guid: formatAddress({ scheme: 'user-guid', domain: key.fingerprint, path: '' }) };
};
