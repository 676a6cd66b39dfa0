import { createHmac, timingSafeEqual } from 'node:crypto';
import { LruMap } from '../../../kit/lru-map.js';
import { namesKey, ProtoflyError, SESSION_CLAIM, type Address, type Clock, type Request } from '../../../protocol/index.js';
import { claimIn, readClaim } from '../../../security/identity-key.js';

export interface ChallengesComponents {
  readonly clock: Clock;
  /** Returns cryptographically random bytes. */
  readonly random: (bytes: number) => Uint8Array;
}

export interface ChallengesInit {
  readonly domain: string;
  /** True to let in runtimes whose URL names no key. */
  readonly allowUnauthenticated: boolean;
}

/** The challenge that the sender has to sign first, or what he claims and has proved. */
export type Judgement = { readonly challenge: string } | { readonly claim: Readonly<Record<string, unknown>> };

/** Lifetime of a challenge, in milliseconds. */
const TTL_MS = 60_000;
/** Maximum number of used challenges that are remembered. */
const MAX_USED = 100_000;

/**
 * Has runtimes prove that they have the key that their URL names. A challenge is good for one runtime, once, for a minute.
 * The node remembers only used challenges, so a client that asks for many takes no memory.
 * @see docs/protocol.md, "Identity"
 */
export class Challenges {
  readonly #clock: Clock;
  readonly #random: (bytes: number) => Uint8Array;
  readonly #init: ChallengesInit;
  readonly #secret: Uint8Array;
  readonly #used = new LruMap<string, true>(MAX_USED);

  constructor({ clock, random }: ChallengesComponents, init: ChallengesInit) {
    this.#clock = clock;
    this.#random = random;
    this.#init = init;
    this.#secret = random(32);
  }

  /**
   * Judges a request to open or resume a session of a runtime.
   * @throws ProtoflyError `E_IDENTITY`, `E_SIGNATURE`, `E_REPLAYED`
   */
  async judge({ body }: Request, runtime: Address): Promise<Judgement> {
    const identity = body?.['identity'];
    if (!namesKey(runtime)) {
      if (this.#init.allowUnauthenticated) return { claim: {} };
      throw new ProtoflyError('E_IDENTITY', `${runtime} names no key, and this domain lets nobody in without one`, { hint: 'its operator lets such clients in with domain start --allow-unauthenticated' });
    }
    if (typeof identity !== 'string') return { challenge: this.#issue(runtime) };
    // Before the signature, because that costs the most.
    const unchecked = claimIn(identity)?.['nonce'];
    if (typeof unchecked === 'string' && !this.#isCurrent(unchecked, runtime)) return { challenge: this.#issue(runtime) };
    const { claim, runtimeId } = await readClaim(identity, SESSION_CLAIM, 'the session\'s claim');
    const { domain, nonce, runtime: claimed } = claim;
    if (!runtime.endsWith(`/${runtimeId}`) || claimed !== runtime) throw new ProtoflyError('E_IDENTITY', `${runtime} is the name of another key`);
    if (domain !== this.#init.domain) throw new ProtoflyError('E_IDENTITY', `the claim is for ${String(domain).slice(0, 100)}, and this is ${this.#init.domain}`);
    if (typeof nonce !== 'string' || !this.#isCurrent(nonce, runtime)) return { challenge: this.#issue(runtime) };
    if (this.#used.get(nonce) === true) throw new ProtoflyError('E_REPLAYED', 'that challenge was answered before');
    this.#used.set(nonce, true);
    return { claim };
  }

  #issue(runtime: Address): string {
    const head = `${Math.round(this.#clock.now()).toString(36)}.${Buffer.from(this.#random(12)).toString('base64url')}`;
    return `${head}.${this.#sealOf(head, runtime)}`;
  }

  /** True if this node made the challenge for that runtime, less than a minute ago. */
  #isCurrent(nonce: string, runtime: Address): boolean {
    const end = nonce.lastIndexOf('.');
    const head = nonce.slice(0, Math.max(0, end));
    const [seal, expected] = [Buffer.from(nonce.slice(end + 1)), Buffer.from(this.#sealOf(head, runtime))];
    if (seal.length !== expected.length || !timingSafeEqual(seal, expected)) return false;
    return this.#clock.now() - parseInt(head, 36) < TTL_MS;
  }

  #sealOf(head: string, runtime: Address): string {
    return createHmac('sha256', this.#secret).update(`${head} ${runtime}`).digest('base64url');
  }
}
