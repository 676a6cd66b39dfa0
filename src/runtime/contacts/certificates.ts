import { createHash } from 'node:crypto';
import { LruMap } from '../../kit/lru-map.js';
import type { Address } from '../../protocol/index.js';
import { readCertificate, type Certificate } from '../../security/certificate.js';

/** Maximum number of checked certificates that are remembered. */
const MAX_REMEMBERED = 20_000;

/** Reads certificates, each once. */
export class Certificates {
  /** By the hash of the certificate and its runtime. */
  readonly #read = new LruMap<string, Certificate>(MAX_REMEMBERED);

  /** @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE` */
  async read(jws: unknown, runtime: Address): Promise<Certificate> {
    const hash = createHash('sha256').update(JSON.stringify([jws, runtime])).digest('base64url');
    const known = this.#read.get(hash);
    if (known !== undefined) return known;
    const certificate = await readCertificate(jws, runtime);
    this.#read.set(hash, certificate);
    return certificate;
  }
}
