import { z } from 'zod';
import { asProtoflyError, ProtoflyError, type Clock } from '../../protocol/index.js';
import type { Descriptor, PublicKey, SourcePackage } from '../../protocol/descriptor.js';
import {
  checkPublicKey, endorse, generatePublisherKey, isEndorsed, publicHalf, sign, signDescriptor, signSource, verify, type PublisherKey,
} from '../../security/index.js';
import type { KeyKeeper } from './key-keeper.js';

/** How many keys are kept and told of, the current one included. */
export const MAX_KEYS = 8;
/** How long an earlier key counts after a new one has taken over. */
export const OVERLAP_MS = 30 * 24 * 3600 * 1000;
const MAX_OVERLAP_MS = 3650 * 24 * 3600 * 1000;

/** A key as `GET /.well-known/protofly` lists it. `endorsement` is by the key that came before. */
export interface ListedKey {
  readonly key: PublicKey;
  readonly endorsement?: string;
}

/** A key that is kept. The secret half of an earlier one is not: nothing is signed with it any more. */
interface Kept extends ListedKey {
  readonly since: string;
  /** When it ceases to count; absent for the current one. */
  readonly until?: string;
}

interface Keys {
  readonly current: PublisherKey;
  /** The current one first, then earlier ones, newest first. */
  readonly all: readonly Kept[];
}

export interface Rotated {
  readonly keyId: string;
  readonly previousKeyId: string;
  /** How long the one before counts: ISO 8601. */
  readonly previousUntil: string;
}

/** What is kept, as text. */
const document = z.object({
  domain: z.string(),
  secret: z.string(),
  keys: z.array(z.object({ key: z.unknown(), endorsement: z.string().max(4096).optional(), since: z.iso.datetime(), until: z.iso.datetime().optional() })).min(1).max(MAX_KEYS),
});

/** @throws ProtoflyError `E_USAGE` */
export const checkOverlap = (overlapMs: unknown): number => {
  if (typeof overlapMs === 'number' && overlapMs >= 0 && overlapMs <= MAX_OVERLAP_MS) return Math.round(overlapMs);
  throw new ProtoflyError('E_USAGE', 'the overlap of two keys is from 0 to 3,650 days, in milliseconds');
};

/**
 * Signs for a domain, and knows which of its keys count. A key is made at the first start and kept; what is kept and
 * can't be used is never replaced by itself, because runtimes would no longer believe this domain.
 * @see docs/protocol.md, "Catalogue"
 */
export class Publisher {
  readonly #keeper: KeyKeeper;
  readonly #clock: Clock;
  readonly #domain: string;
  #keys: Keys | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ keeper, clock }: { readonly keeper: KeyKeeper; readonly clock: Clock }, { domain }: { readonly domain: string }) {
    this.#keeper = keeper;
    this.#clock = clock;
    this.#domain = domain;
  }

  /** Reads the keys, or makes the first one. @throws ProtoflyError `E_STORE` for keys that are damaged, `E_PLATFORM` for those that can't be read */
  async load(): Promise<void> {
    const text = await this.#keeper.read();
    if (text !== undefined) {
      this.#keys = await this.#parse(text);
      return;
    }
    const current = await generatePublisherKey();
    await this.#keep({ current, all: [{ key: publicHalf(current), since: this.#now() }] });
  }

  /** Of the current key. @throws ProtoflyError `E_UNAVAILABLE` before `load` */
  get keyId(): string {
    return this.#loaded().current.kid;
  }

  /** The keys that count now, the current one first. */
  get keys(): readonly ListedKey[] {
    return this.#counting().map(({ key, endorsement }) => ({ key, ...(endorsement === undefined ? {} : { endorsement }) }));
  }

  descriptor(descriptor: Descriptor): Promise<Descriptor> {
    return signDescriptor(descriptor, this.#loaded().current);
  }

  source(source: SourcePackage): Promise<SourcePackage> {
    return signSource(source, this.#loaded().current);
  }

  /**
   * Has a new key take over. The one before endorses it, and counts for `overlapMs` more.
   * @throws ProtoflyError `E_USAGE`; when the new key can't be kept, and then the one before goes on
   */
  rotate(overlapMs: number = OVERLAP_MS): Promise<Rotated> {
    const done = this.#turn.then(() => this.#rotate(checkOverlap(overlapMs)));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #rotate(overlapMs: number): Promise<Rotated> {
    const { current: before } = this.#loaded();
    const [previous, ...earlier] = this.#counting();
    const current = await generatePublisherKey();
    const endorsement = await endorse(before, this.#domain, current);
    const until = new Date(this.#clock.date() + overlapMs).toISOString();
    // No key outlives the one after it: that would break the chain of endorsements.
    const ending = [previous!, ...earlier].map((kept) => ({ ...kept, until: kept.until !== undefined && kept.until < until ? kept.until : until }));
    const all = [{ key: publicHalf(current), endorsement, since: this.#now() }, ...ending].slice(0, MAX_KEYS);
    await this.#keep({ current, all });
    return { keyId: current.kid, previousKeyId: before.kid, previousUntil: until };
  }

  #counting(): readonly Kept[] {
    const now = this.#clock.date();
    return this.#loaded().all.filter(({ until }) => until === undefined || Date.parse(until) > now);
  }

  #loaded(): Keys {
    if (this.#keys === undefined) throw new ProtoflyError('E_UNAVAILABLE', 'the domain server is still starting');
    return this.#keys;
  }

  #now(): string {
    return new Date(this.#clock.date()).toISOString();
  }

  async #keep(keys: Keys): Promise<void> {
    await this.#keeper.write(`${JSON.stringify({ domain: this.#domain, secret: keys.current.d, keys: keys.all }, undefined, 2)}\n`);
    this.#keys = keys;
  }

  async #parse(text: string): Promise<Keys> {
    try {
      const { domain, secret, keys } = document.parse(JSON.parse(text));
      if (domain !== this.#domain) throw new ProtoflyError('E_STORE', `it is the key of ${domain}, not of ${this.#domain}`);
      const all = await Promise.all(keys.map(async ({ key, endorsement, since, until }): Promise<Kept> => ({
        key: await checkPublicKey(key), since, ...(endorsement === undefined ? {} : { endorsement }), ...(until === undefined ? {} : { until }),
      })));
      const current = { ...all[0]!.key, d: secret };
      await this.#check(current, all);
      return { current, all };
    } catch (cause) {
      throw new ProtoflyError('E_STORE', `${this.#keeper.where} holds no usable publisher key: ${wordsOf(cause)}`, {
        cause,
        hint: 'put it back from a backup; only without it a new key is made, which runtimes that know this domain don\'t believe by themselves',
      });
    }
  }

  /** That the two halves belong together, and that each key was endorsed by the one before it. */
  async #check(current: PublisherKey, all: readonly Kept[]): Promise<void> {
    const probe = 'protofly-probe';
    await verify(await sign(current, probe, probe), probe, [publicHalf(current)], 'the secret half');
    if (all[0]!.until !== undefined) throw new ProtoflyError('E_STORE', 'its current key has an end');
    for (const [index, { key, endorsement }] of all.entries()) {
      const before = all[index + 1];
      if (before !== undefined && !(await isEndorsed(endorsement ?? '', this.#domain, key, [before.key]))) {
        throw new ProtoflyError('E_STORE', `the key ${key.kid} isn't endorsed by the one before`);
      }
    }
  }
}

/** What is wrong, in one line and without what is secret. */
const wordsOf = (cause: unknown): string => {
  if (cause instanceof z.ZodError) return `${cause.issues[0]?.path.join('.') ?? ''} is missing or not what it should be`.trim();
  return cause instanceof SyntaxError ? 'it isn\'t JSON' : asProtoflyError(cause).message;
};
