import { createHash, randomBytes } from 'node:crypto';
import { LruMap } from '../../kit/lru-map.js';
import { CONNECTION_CLAIM, namesKey, ProtoflyError, runtimeOf, type Address, type Clock, type ConnectionClaim, type StubConfig } from '../../protocol/index.js';
import { readClaim, type IdentityKey } from '../../security/identity-key.js';
import type { UserIdentity } from '../identity/index.js';
import type { StubKind } from '../stubs/protostubs.js';

export interface SetUpSignaturesComponents {
  readonly clock: Clock;
  readonly key: IdentityKey;
  readonly identity: Pick<UserIdentity, 'certificate'>;
  /** The deployed stubs. What they ask to have signed is checked: they may be foreign code. */
  readonly stubs: { get(url: Address): { readonly init: { readonly kind: StubKind; readonly config: Pick<StubConfig, 'remoteRuntimeURL'> } } | undefined };
}

/** Lifetime of a signature, in milliseconds. */
const TTL_MS = 5 * 60_000;
/** Difference between the clocks of two machines that is allowed, in milliseconds. */
const CLOCKS_MS = 60 * 60_000;
/** Maximum number of offers made, of offers received, and of used signatures that are remembered. */
const MAX_REMEMBERED = 10_000;

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** The part of a Connection object that is signed. */
interface Described {
  readonly role: ConnectionClaim['role'];
  readonly sdp: string;
  readonly generation?: number;
}

const describedBy = ({ connectionDescription: description, generation }: Readonly<Record<string, unknown>>): Described | undefined => {
  const { type, sdp } = (description ?? {}) as { readonly type?: unknown; readonly sdp?: unknown };
  if ((type !== 'offer' && type !== 'answer') || typeof sdp !== 'string') return undefined;
  return { role: type, sdp: hashOf(sdp), ...(typeof generation === 'number' ? { generation } : {}) };
};

/** The hashes of the signatures of offers, by remote runtime and generation. */
class Offers {
  readonly #hashes = new LruMap<string, string>(MAX_REMEMBERED);

  add(remote: Address, generation: number | undefined, hash: string): void {
    this.#hashes.set(`${remote} ${String(generation)}`, hash);
    this.#hashes.set(remote, hash);
  }

  /** Returns an offer's hash: without a generation, that of the newest one. */
  get(remote: Address, generation: number | undefined): string | undefined {
    return this.#hashes.get(generation === undefined ? remote : `${remote} ${String(generation)}`);
  }
}

/**
 * Signs the Connection objects that the P2P stubs of this runtime report, and checks those of other runtimes before a
 * stub gets them. An answer is bound to its offer, so that neither can be swapped on the way.
 * @see docs/protocol.md, P2P-18
 */
export class SetUpSignatures {
  readonly #clock: Clock;
  readonly #key: IdentityKey;
  readonly #identity: SetUpSignaturesComponents['identity'];
  readonly #stubs: SetUpSignaturesComponents['stubs'];
  readonly #runtime: Address;
  readonly #offered = new Offers();
  readonly #received = new Offers();
  /** Hashes of the signatures that were taken. */
  readonly #used = new LruMap<string, true>(MAX_REMEMBERED);

  constructor({ clock, key, identity, stubs }: SetUpSignaturesComponents, { runtime }: { readonly runtime: Address }) {
    this.#clock = clock;
    this.#key = key;
    this.#identity = identity;
    this.#stubs = stubs;
    this.#runtime = runtime;
  }

  /**
   * Returns the signature and the user's certificate for a Connection object that a P2P stub reports. Other objects get none. A requester stub offers to
   * its own remote runtime alone, and the handler stub answers offers that have come.
   * @throws ProtoflyError `E_REFUSED`
   */
  async sign(reporter: Address, invited: readonly Address[], data: Readonly<Record<string, unknown>>): Promise<{ readonly signature?: string; readonly certificate?: string }> {
    const described = describedBy(data);
    const { kind, config } = this.#stubs.get(reporter)?.init ?? {};
    if (described === undefined || kind === undefined || kind === 'msg-node') return {};
    const to = invited[0] === undefined || invited.length > 1 ? undefined : runtimeOf(invited[0]);
    const offer = to === undefined || described.role === 'offer' ? undefined : this.#received.get(to, described.generation);
    const mayReport = described.role === 'offer' ? kind === 'p2p-requester' && config?.remoteRuntimeURL === to : kind === 'p2p-handler';
    if (to === undefined || !mayReport || (described.role === 'answer' && namesKey(to) && offer === undefined)) {
      throw new ProtoflyError('E_REFUSED', `${reporter} sets up no connection with ${String(to)} by an ${described.role}`);
    }
    const claim: ConnectionClaim = {
      from: this.#runtime, to, ...described,
      nonce: randomBytes(16).toString('base64url'),
      expires: new Date(this.#clock.date() + TTL_MS).toISOString(),
      ...(offer === undefined ? {} : { offer }),
    };
    const signature = await this.#key.sign(CONNECTION_CLAIM, claim);
    if (described.role === 'offer') this.#offered.add(to, described.generation, hashOf(signature));
    const { certificate } = this.#identity;
    return { signature, ...(certificate === undefined ? {} : { certificate }) };
  }

  /**
   * Checks the Connection object with which another runtime invites a stub of this one. Objects of a runtime whose URL
   * names no key can't be checked.
   * @throws ProtoflyError `E_UNSIGNED`, `E_SIGNATURE`, `E_IDENTITY`, `E_EXPIRED`, `E_REPLAYED`
   */
  async check(value: Readonly<Record<string, unknown>>, from: Address): Promise<void> {
    if (!namesKey(from)) return;
    const { signature } = value;
    if (typeof signature !== 'string') throw new ProtoflyError('E_UNSIGNED', `the set-up by ${from} is not signed`);
    const { claim, runtimeId } = await readClaim(signature, CONNECTION_CLAIM, `the set-up by ${from}`);
    if (!from.endsWith(`/${runtimeId}`)) throw new ProtoflyError('E_IDENTITY', `the set-up by ${from} is signed by another key`);
    const described = describedBy(value);
    if (described === undefined || claim['from'] !== from || claim['to'] !== this.#runtime || claim['role'] !== described.role || claim['sdp'] !== described.sdp || claim['generation'] !== described.generation) {
      throw new ProtoflyError('E_SIGNATURE', `the set-up by ${from} isn't what that runtime signed: it was changed on its way`);
    }
    this.#checkFresh(claim['expires'], from);
    const hash = hashOf(signature);
    if (described.role === 'answer' && (claim['offer'] === undefined || claim['offer'] !== this.#offered.get(from, described.generation))) {
      throw new ProtoflyError('E_SIGNATURE', `the answer of ${from} is to another offer than that of this runtime`);
    }
    if (this.#used.get(hash) === true) throw new ProtoflyError('E_REPLAYED', `the set-up by ${from} was used before`);
    this.#used.set(hash, true);
    if (described.role === 'offer') this.#received.add(from, described.generation, hash);
  }

  #checkFresh(expires: unknown, from: Address): void {
    const until = typeof expires === 'string' ? Date.parse(expires) : NaN;
    const left = until - this.#clock.date();
    if (left >= -CLOCKS_MS && left <= TTL_MS + CLOCKS_MS) return;
    throw new ProtoflyError('E_EXPIRED', `the set-up by ${from} is valid until ${String(expires).slice(0, 40)}, and it is ${new Date(this.#clock.date()).toISOString()} here`, { hint: 'set the clocks of both machines' });
  }
}
