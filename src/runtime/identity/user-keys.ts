import { SerialQueue } from '../../kit/serial-queue.js';
import { asProtoflyError, ProtoflyError, type Address } from '../../protocol/index.js';
import { MAX_REMOVED } from '../../security/certificate.js';
import { IdentityKey, makePem } from '../../security/identity-key.js';
import type { SharedKeyKeeper } from '../../security/key-keeper.js';

/** A runtime that a user has certified. */
export interface Device {
  readonly runtime: Address;
  /** The user's name for the machine. */
  readonly name: string;
  /** ISO 8601 */
  readonly added: string;
  /** Time at which the user removed it, in ISO 8601. */
  readonly removed?: string;
}

interface Kept {
  readonly user: Address;
  /** In PEM (PKCS #8). */
  readonly privateKey: string;
  readonly devices: readonly Device[];
}

/** The key of a user, and the runtimes that he has certified with it. All runtimes of one account share it. */
export class UserKeys {
  readonly #user: Address;
  readonly #keeper: SharedKeyKeeper;
  readonly #changes = new SerialQueue<'devices'>();

  constructor({ keeper }: { readonly keeper: SharedKeyKeeper }, { user }: { readonly user: Address }) {
    this.#keeper = keeper;
    this.#user = user;
  }

  /** Returns the key; makes it at the first time. @throws ProtoflyError `E_STORE`, `E_PLATFORM` */
  async key(): Promise<IdentityKey> {
    return new IdentityKey((await this.#read()).privateKey);
  }

  async devices(): Promise<readonly Device[]> {
    return (await this.#read()).devices;
  }

  /** Notes a certified runtime. @throws ProtoflyError `E_REMOVED` if the user has removed it */
  add(device: Device): Promise<void> {
    return this.#changes.run('devices', () => this.#add(device));
  }

  /** Marks a runtime as removed. Idempotent. @throws ProtoflyError `E_NOT_FOUND` */
  remove(runtime: Address, at: string): Promise<void> {
    return this.#changes.run('devices', () => this.#remove(runtime, at));
  }

  async #add(device: Device): Promise<void> {
    const kept = await this.#read();
    const before = kept.devices.find(({ runtime }) => runtime === device.runtime);
    if (before?.removed !== undefined) throw new ProtoflyError('E_REMOVED', `${device.runtime} was removed by its user`);
    if (before?.name === device.name) return;
    await this.#write({ ...kept, devices: [...kept.devices.filter(({ runtime }) => runtime !== device.runtime), { ...device, added: before?.added ?? device.added }] });
  }

  async #remove(runtime: Address, at: string): Promise<void> {
    const kept = await this.#read();
    if (!kept.devices.some((device) => device.runtime === runtime)) throw new ProtoflyError('E_NOT_FOUND', `${runtime} is no runtime of ${this.#user}`, { hint: 'protofly device list shows them' });
    const devices = kept.devices.map((device) => (device.runtime === runtime ? { ...device, removed: device.removed ?? at } : device));
    const removed = devices.filter((device) => device.removed !== undefined);
    // A runtime that was removed long ago has no certificate any more.
    const forgotten = new Set(removed.length <= MAX_REMOVED ? [] : removed.sort((a, b) => a.removed!.localeCompare(b.removed!)).slice(0, -MAX_REMOVED));
    await this.#write({ ...kept, devices: devices.filter((device) => !forgotten.has(device)) });
  }

  async #read(): Promise<Kept> {
    const text = (await this.#keeper.read()) ?? (await this.#keeper.create(JSON.stringify({ user: this.#user, privateKey: makePem(), devices: [] } satisfies Kept)));
    try {
      const kept = JSON.parse(text) as Kept;
      if (kept.user !== this.#user || typeof kept.privateKey !== 'string' || !Array.isArray(kept.devices)) throw new TypeError(`it isn't the key of ${this.#user}`);
      return kept;
    } catch (cause) {
      throw new ProtoflyError('E_STORE', `${this.#keeper.where} holds no usable key of a user: ${asProtoflyError(cause).message}`, { cause, hint: 'put it back from a backup; without it, others see a user with another key' });
    }
  }

  #write(kept: Kept): Promise<void> {
    return this.#keeper.write(JSON.stringify(kept));
  }
}
