import { z } from 'zod';
import { asProtoflyError, ProtoflyError, type Clock } from '../../protocol/index.js';
import type { Descriptor, PublicKey, SourcePackage } from '../../protocol/descriptor.js';
import {
  checkPublicKey, endorse, generatePublisherKey, isEndorsed, publicHalf, sign, signDescriptor, signSource, verify, type PublisherKey,
} from '../../security/index.js';
import type { KeyKeeper } from '../../security/key-keeper.js';

/** Maximum number of keys stored and listed, including the current one. */
const MAX_KEYS = 8;
/** Time during which the previous key stays valid after a rotation, in milliseconds. */
export const OVERLAP_MS = 30 * 24 * 3600 * 1000;
const MAX_OVERLAP_MS = 3650 * 24 * 3600 * 1000;

/** A key as listed by `GET /.well-known/protofly`. `endorsement` is signed by the previous key. */
export interface ListedKey {
  readonly key: PublicKey;
  readonly endorsement?: string;
}

/** A stored key. The secret half is stored only for the current key: nothing is signed with an earlier one. */
interface Kept extends ListedKey {
  readonly since: string;
  /** Time at which the key expires. Undefined for the current key. */
  readonly until?: string;
}

interface Keys {
  readonly current: PublisherKey;
  /** The current key, then earlier ones, newest first. */
  readonly all: readonly Kept[];
}

export interface Rotated {
  readonly keyId: string;
  readonly previousKeyId: string;
  /** Time until which the previous key stays valid, in ISO 8601. */
  readonly previousUntil: string;
}

/** The stored document. */
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
 * Signs for a domain, and knows its valid keys. The first start generates a key and stores it. Stored keys that can't
 * be used are never replaced automatically, because runtimes would no longer trust this domain.
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

  /**
   * Reads the keys, or generates the first one.
   * @throws ProtoflyError `E_STORE` if keys are damaged, `E_PLATFORM` if they can't be read
   */
  async load(): Promise<void> {
    const text = await this.#keeper.read();
    if (text !== undefined) {
      this.#keys = await this.#parse(text);
      return;
    }
    const current = await generatePublisherKey();
    await this.#keep({ current, all: [{ key: publicHalf(current), since: this.#now() }] });
  }

  /** Id of the current key. @throws ProtoflyError `E_UNAVAILABLE` before `load` */
  get keyId(): string {
    return this.#loaded().current.kid;
  }

  /** The keys that are valid now, the current one first. */
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
   * Replaces the current key by a new one. The previous key endorses it, and stays valid for `overlapMs`.
   * @throws ProtoflyError `E_USAGE`; or if the new key can't be stored, and then the previous key stays current
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
    // No key outlives its successor: that would break the chain of endorsements.
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

  /** Checks that both halves of the key match, and that each key was endorsed by its predecessor. */
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

/** Describes an error on one line, without secrets. */
const wordsOf = (cause: unknown): string => {
  if (cause instanceof z.ZodError) return `${cause.issues[0]?.path.join('.') ?? ''} is missing or not what it should be`.trim();
  return cause instanceof SyntaxError ? 'it isn\'t JSON' : asProtoflyError(cause).message;
};
