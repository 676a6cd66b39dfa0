import { generateKeyPairSync } from 'node:crypto';
import { RuntimeKey } from '../../src/security/index.js';

/** Makes the key of a runtime. */
export const makeRuntimeKey = (): RuntimeKey => new RuntimeKey(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
