import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { ProtoflyError, type Address, type Clock } from '../../protocol/index.js';
import { CERTIFICATE_TTL_MS, checkCertificateDate, isDeviceName, readCertificate, signCertificate, type Certificate } from '../../security/certificate.js';
import type { DeviceCode } from '../../security/invite.js';
import type { Collection } from '../../store/index.js';
import type { Device, UserKeys } from './user-keys.js';

/** The part of a runtime's state that makes it its user's. */
export interface KeptMembership {
  readonly user: Address;
  readonly certificate?: string;
  /** The runtime that certifies this one. Absent if this one has the user's key. */
  readonly issuer?: Address;
  /** SHA-256 of the user's public key, in hex, that the certificate has to be signed with. */
  readonly userKey?: string;
  /** The secret of the device code, until a certificate has come. */
  readonly secret?: string;
}

/** A device code that wasn't used yet. */
export interface KeptCode {
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly secret: string;
}

export interface UserIdentityComponents {
  readonly clock: Clock;
  readonly keys: UserKeys;
  readonly kept: Collection<KeptMembership>;
  /** By the first characters of the hash of their secret. */
  readonly codes: Collection<KeptCode>;
}

export interface UserIdentityInit {
  readonly user: Address;
  readonly runtime: Address;
  /** The name of this machine. */
  readonly device: string;
  /** True if it is to be listed among the user's machines. */
  readonly isListed: boolean;
  /** The code with which another runtime of the user has this one certified. @default this runtime uses the user's key */
  readonly code?: Pick<DeviceCode, 'runtime' | 'secret' | 'userKey'>;
}

/** The request of a runtime for a certificate. */
export interface CertificateRequest {
  readonly name: string;
  /** Proof that the runtime has a device code: HMAC of its URL. Absent in the renewal of a certificate. */
  readonly proof?: string;
}

/** Time left on a certificate at which it is renewed, in milliseconds. */
const RENEW_MS = 15 * 24 * 3600 * 1000;
const MAX_CODES = 100;
const KEY = 'user';

const proofOf = (secret: string, text: string): string => createHmac('sha256', secret).update(text).digest('base64url');
const codeKey = (secret: string): string => createHash('sha256').update(secret).digest('hex').slice(0, 32);
const equals = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

/** The user of a runtime: the certificate that binds the two, and what other runtimes of the user get theirs from. */
export class UserIdentity {
  readonly user: Address;
  readonly #components: UserIdentityComponents;
  readonly #init: UserIdentityInit;
  #membership: KeptMembership;
  #certificate: Certificate | undefined;

  /** @throws ProtoflyError `E_STORE`, `E_PLATFORM` if the user's key can't be used */
  static async load(components: UserIdentityComponents, init: UserIdentityInit): Promise<UserIdentity> {
    const { kept } = components;
    const { user, code } = init;
    const before = kept.get(KEY);
    const membership: KeptMembership = code !== undefined ? { user, issuer: code.runtime, userKey: code.userKey, secret: code.secret } : before?.user === user ? before : { user };
    const identity = new UserIdentity(components, init, membership);
    await identity.#restore();
    return identity;
  }

  private constructor(components: UserIdentityComponents, init: UserIdentityInit, membership: KeptMembership) {
    this.user = init.user;
    this.#components = components;
    this.#init = init;
    this.#membership = membership;
  }

  /** The certificate, while it is valid. */
  get certificate(): string | undefined {
    return this.#isValid() ? this.#membership.certificate : undefined;
  }

  /** The user's name for this machine. */
  get device(): string {
    return this.#certificate?.name ?? this.#init.device;
  }

  /** SHA-256 of the user's public key, in hex. Undefined until a certificate has come. */
  get userKey(): string | undefined {
    return this.#certificate?.userKey ?? this.#membership.userKey;
  }

  /** The runtime that certifies this one. Undefined if this one has the user's key. */
  get issuer(): Address | undefined {
    return this.#membership.issuer;
  }

  /** True if the certificate is missing or is to be renewed, also because the date was wrong when it was made. */
  get isDue(): boolean {
    if (this.#certificate === undefined) return true;
    const left = Date.parse(this.#certificate.expires) - this.#components.clock.date();
    return left < RENEW_MS || left > CERTIFICATE_TTL_MS;
  }

  /** The request with which the issuer is asked for a certificate. */
  get request(): CertificateRequest {
    const { secret } = this.#membership;
    return { name: this.#init.device, ...(secret === undefined ? {} : { proof: proofOf(secret, this.#init.runtime) }) };
  }

  /** Describes the user for programs, as docs/control.md says. */
  view(): Record<string, unknown> {
    const { expires } = this.#certificate ?? {};
    return {
      user: this.user, runtime: this.#init.runtime, userKey: this.userKey, device: this.device, expires,
      ...(this.issuer === undefined ? {} : { issuer: this.issuer }),
    };
  }

  /** Signs this runtime's own certificate with the user's key. @throws ProtoflyError `E_REMOVED`, `E_STORE`, `E_PLATFORM` */
  async certifyItself(): Promise<void> {
    await this.#take({ user: this.user, certificate: await this.#certify(this.#init.runtime, this.#init.device) });
  }

  /** Renews the certificate if it is due and this runtime has the user's key. @throws ProtoflyError as `certifyItself` */
  async refresh(): Promise<void> {
    if (this.issuer === undefined && this.isDue) await this.certifyItself();
  }

  /** Keeps the certificate that the issuer has given. @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE`, `E_EXPIRED` */
  async accept(certificate: unknown): Promise<void> {
    const { issuer, userKey } = this.#membership;
    const read = await readCertificate(certificate, this.#init.runtime);
    if (read.user !== this.user || read.userKey !== userKey) throw new ProtoflyError('E_CERTIFICATE', `that certificate isn't by the key of ${this.user}`);
    checkCertificateDate(read, this.#components.clock.date());
    const membership: KeptMembership = { user: this.user, userKey: read.userKey, certificate: certificate as string, ...(issuer === undefined ? {} : { issuer }) };
    await this.#components.kept.put(KEY, membership);
    await this.#take(membership);
  }

  /**
   * Certifies another runtime of the user: one that has a device code, or one that was certified before.
   * @throws ProtoflyError `E_REFUSED` if this runtime hasn't the key, or the code isn't good; `E_REMOVED`, `E_USAGE`
   */
  async certify(runtime: Address, { name, proof }: CertificateRequest): Promise<string> {
    this.#checkKey();
    if (!isDeviceName(name)) throw new ProtoflyError('E_USAGE', 'the machine has no usable name');
    // A runtime that was certified before needs no code: the answer to its first request may have been lost.
    const known = (await this.#components.keys.devices()).find((device) => device.runtime === runtime);
    if (known === undefined && proof !== undefined) await this.#redeem(runtime, proof);
    if (known === undefined && proof === undefined) throw new ProtoflyError('E_REFUSED', `${runtime} is no runtime of ${this.user}`, { hint: 'protofly device add, where the user\'s key is, prints a code for it' });
    return this.#certify(runtime, known?.name ?? name);
  }

  /** True if a runtime was certified by this one, or one of the same account, before. */
  async knows(runtime: Address): Promise<boolean> {
    return this.issuer === undefined && (await this.#components.keys.devices()).some((device) => device.runtime === runtime);
  }

  /** Makes the secret of a device code. @param ttlMs its lifetime, in milliseconds @throws ProtoflyError `E_REFUSED`, `E_TOO_MANY` */
  async makeCode(ttlMs: number): Promise<{ readonly secret: string; readonly userKey: string; readonly expires: string }> {
    this.#checkKey();
    const { codes, clock, keys } = this.#components;
    for (const [key, { expires }] of codes.entries()) if (expires <= clock.date()) await codes.delete(key);
    if (codes.count() >= MAX_CODES) throw new ProtoflyError('E_TOO_MANY', 'too many device codes wait to be used');
    const secret = randomBytes(16).toString('base64url');
    const expires = clock.date() + ttlMs;
    await codes.put(codeKey(secret), { secret, expires });
    return { secret, userKey: (await keys.key()).fingerprint, expires: new Date(expires).toISOString() };
  }

  /** Returns the user's runtimes. @throws ProtoflyError `E_REFUSED` if this runtime hasn't the key */
  async devices(): Promise<readonly Device[]> {
    this.#checkKey();
    return this.#components.keys.devices();
  }

  /**
   * Removes another runtime of the user, by its name or URL, and renews this runtime's certificate, which says so.
   * @throws ProtoflyError `E_REFUSED`, `E_NOT_FOUND`, `E_AMBIGUOUS`, `E_USAGE`
   */
  async remove(what: string): Promise<Device> {
    const all = (await this.devices()).filter(({ runtime, name }) => runtime === what || name === what);
    const present = all.filter(({ removed }) => removed === undefined);
    // Removes a machine again that is removed already: something may have prevented the first time from being told.
    const found = present.length > 0 ? present : all.slice(-1);
    const [device, another] = found;
    if (device === undefined) throw new ProtoflyError('E_NOT_FOUND', `${this.user} has no machine ${JSON.stringify(what)}`, { hint: 'protofly device list shows them' });
    if (another !== undefined) throw new ProtoflyError('E_AMBIGUOUS', `${what} can mean ${found.map(({ runtime }) => runtime).join(', ')}`, { hint: 'give its runtime\'s URL' });
    if (device.runtime === this.#init.runtime) throw new ProtoflyError('E_USAGE', 'a machine doesn\'t remove itself');
    await this.#components.keys.remove(device.runtime, this.#now());
    await this.certifyItself();
    return device;
  }

  async #restore(): Promise<void> {
    const { certificate, issuer, secret } = this.#membership;
    if (issuer === undefined) {
      await this.certifyItself();
      return;
    }
    if (certificate !== undefined) this.#certificate = await readCertificate(certificate, this.#init.runtime).catch(() => undefined);
    if (secret !== undefined) await this.#components.kept.put(KEY, this.#membership);
  }

  async #certify(runtime: Address, name: string): Promise<string> {
    const { keys, clock } = this.#components;
    if (this.#init.isListed || runtime !== this.#init.runtime) await keys.add({ runtime, name, added: this.#now() });
    const removed = (await keys.devices()).flatMap((device) => (device.removed === undefined ? [] : [device.runtime.slice(device.runtime.lastIndexOf('/') + 1)]));
    return signCertificate(await keys.key(), { user: this.user, runtime, name, expires: new Date(clock.date() + CERTIFICATE_TTL_MS).toISOString(), removed });
  }

  /** Uses up the device code with which the proof was made. @throws ProtoflyError `E_REFUSED` */
  async #redeem(runtime: Address, proof: string): Promise<void> {
    const { codes, clock } = this.#components;
    for (const [key, { secret, expires }] of codes.entries()) {
      if (expires <= clock.date() || !equals(proof, proofOf(secret, runtime))) continue;
      // Two requests at once: one of them is the first to delete it.
      if (await codes.delete(key)) return;
    }
    throw new ProtoflyError('E_REFUSED', 'the device code is wrong, was used before, or has expired', { hint: 'make another one: protofly device add' });
  }

  async #take(membership: KeptMembership): Promise<void> {
    this.#membership = membership;
    this.#certificate = membership.certificate === undefined ? undefined : await readCertificate(membership.certificate, this.#init.runtime);
  }

  #isValid(): boolean {
    return this.#certificate !== undefined && Date.parse(this.#certificate.expires) > this.#components.clock.date();
  }

  /** @throws ProtoflyError `E_REFUSED` */
  #checkKey(): void {
    if (this.issuer !== undefined) throw new ProtoflyError('E_REFUSED', `the key of ${this.user} isn't on this machine`, { hint: `it is where ${this.issuer} runs` });
  }

  #now(): string {
    return new Date(this.#components.clock.date()).toISOString();
  }
}
