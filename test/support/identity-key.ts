import { DEVICE_CLAIM, type DeviceClaim } from '../../src/protocol/index.js';
import { IdentityKey, makePem } from '../../src/security/index.js';

/** Makes the key of a runtime or a user. */
export const makeKey = (): IdentityKey => new IdentityKey(makePem());

/** Signs a certificate of a runtime by the key of its user, good for ten days unless `fields` say otherwise. */
export const certify = (userKey: IdentityKey, user: string, runtime: string, fields: Partial<Record<keyof DeviceClaim, unknown>> = {}, typ = DEVICE_CLAIM): Promise<string> =>
  userKey.sign(typ, { user, runtime, name: 'laptop', expires: new Date(Date.now() + 10 * 24 * 3600_000).toISOString(), removed: [], ...fields });
