import { SerialQueue } from '../../../kit/serial-queue.js';
import type { DomainInfo, PublicKey } from '../../../protocol/descriptor.js';
import { ProtoflyError, type Clock, type TrustedKey, type TrustOrigin } from '../../../protocol/index.js';
import { checkPublicKey, isEndorsed } from '../../../security/index.js';
import type { Collection } from '../../../store/index.js';

interface KeptKey {
  readonly key: PublicKey;
  /** Time when it became trusted, in milliseconds since 1970. */
  readonly since: number;
  readonly how: TrustOrigin;
  /** True if a person added it, or a key in its chain of endorsements. */
  readonly byHand: boolean;
}

/** The stored keys of one domain. */
export interface KeptPublisher {
  readonly keys: readonly KeptKey[];
}

/** A checked key from a domain's list. */
interface Listed {
  readonly key: PublicKey;
  readonly endorsement: string | undefined;
}

export interface PublishersComponents {
  /** Stored keys by domain. */
  readonly kept: Collection<KeptPublisher>;
  readonly domains: { info(domain: string): Promise<DomainInfo> };
  readonly clock: Clock;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

/**
 * The trusted publisher keys by domain. The first keys that a domain shows are trusted and stored. Later keys need the
 * endorsement of a trusted one, or of a person. A key that its domain no longer lists is forgotten. A key added by a
 * person stays until an endorsed one has come.
 */
export class Publishers {
  readonly #components: PublishersComponents;
  /** Changes of keys. Changes of one domain run one after the other. */
  readonly #work = new SerialQueue<string>();

  constructor(components: PublishersComponents) {
    this.#components = components;
  }

  /** Returns the trusted keys of a domain, without asking it. */
  believed(domain: string): PublicKey[] {
    return this.#keys(domain).map(({ key }) => key);
  }

  /**
   * Returns the trusted keys of a domain, updated by its description.
   * @throws ProtoflyError `E_PUBLISHER` if no trusted key endorses a new one, `E_UNSIGNED` if the domain has none,
   * `E_DESCRIPTOR` if a key is malformed
   */
  keysFor(info: DomainInfo): Promise<PublicKey[]> {
    return this.#work.run(info.domain, async () => {
      const listed = await listedIn(info);
      const known = this.#keys(info.domain);
      if (listed.length === 0) throw noKey(info.domain, known);
      const keys = known.length === 0 ? this.#firstUse(info.domain, listed) : await this.#follow(info.domain, listed, known);
      if (keys !== known) await this.#components.kept.put(info.domain, { keys });
      return keys.map(({ key }) => key);
    });
  }

  /** Returns the details of a key from `keysFor` or `believed`. @throws ProtoflyError `E_PUBLISHER` */
  trustIn(domain: string, keyId: string): TrustedKey {
    const found = this.#keys(domain).find(({ key }) => key.kid === keyId);
    if (found === undefined) throw new ProtoflyError('E_PUBLISHER', `the key ${keyId} of ${domain} isn't believed`, { hint: trustHint(domain, keyId) });
    return view(domain, found);
  }

  list(): TrustedKey[] {
    return [...this.#components.kept.entries()].flatMap(([domain, { keys }]) => keys.map((kept) => view(domain, kept)));
  }

  /**
   * Trusts a key on a person's word: the given one, or the one with the given id that the domain lists now. Without
   * either, trusts exactly the keys that the domain lists now.
   * @throws ProtoflyError `E_NOT_FOUND` if the domain lists no such key, `E_UNSIGNED`, `E_UNREACHABLE`, `E_DESCRIPTOR`
   */
  async add(domain: string, which?: PublicKey | string): Promise<TrustedKey[]> {
    const chosen = await this.#chosen(domain, which);
    return this.#work.run(domain, async () => {
      const ids = new Set(chosen.map(({ kid }) => kid));
      const others = which === undefined ? [] : this.#keys(domain).filter(({ key }) => !ids.has(key.kid));
      const added = chosen.map((key): KeptKey => ({ key, since: this.#components.clock.date(), how: 'added', byHand: true }));
      await this.#components.kept.put(domain, { keys: [...added, ...others] });
      return added.map((kept) => view(domain, kept));
    });
  }

  /** Forgets a domain's keys. The next keys that it shows are trusted at first use. @throws ProtoflyError `E_NOT_FOUND` */
  remove(domain: string): Promise<TrustedKey[]> {
    return this.#work.run(domain, async () => {
      const known = this.#keys(domain);
      if (known.length === 0) throw new ProtoflyError('E_NOT_FOUND', `no key of ${domain} is believed`, { hint: 'see protofly catalogue trust list' });
      await this.#components.kept.delete(domain);
      return known.map((kept) => view(domain, kept));
    });
  }

  async #chosen(domain: string, which: PublicKey | string | undefined): Promise<PublicKey[]> {
    if (typeof which === 'object') return [await checkPublicKey(which)];
    const listed = (await listedIn(await this.#components.domains.info(domain))).map(({ key }) => key);
    if (listed.length === 0) throw noKey(domain, []);
    if (which === undefined) return listed;
    const key = listed.find(({ kid }) => kid === which);
    if (key === undefined) throw new ProtoflyError('E_NOT_FOUND', `${domain} has no key ${which}; it shows ${listed.map(({ kid }) => kid).join(', ')}`);
    return [key];
  }

  #firstUse(domain: string, listed: readonly Listed[]): KeptKey[] {
    const since = this.#components.clock.date();
    this.#components.log('info', `the publisher of ${domain} is believed at first sight: ${listed.map(({ key }) => key.kid).join(', ')}`);
    return listed.map(({ key }) => ({ key, since, how: 'first-use', byHand: false }));
  }

  /** Returns the keys that are trusted now; `known` itself if they are unchanged. */
  async #follow(domain: string, listed: readonly Listed[], known: readonly KeptKey[]): Promise<readonly KeptKey[]> {
    const keys = [...known, ...(await this.#successors(domain, listed, known))];
    const [current] = listed;
    if (current !== undefined && !keys.some(({ key }) => key.kid === current.key.kid)) {
      throw new ProtoflyError('E_PUBLISHER', `${domain} shows a new publisher key ${current.key.kid} that no believed key endorses (${known.map(({ key }) => key.kid).join(', ')})`, { hint: trustHint(domain, current.key.kid) });
    }
    const isListed = ({ key }: KeptKey): boolean => listed.some((one) => one.key.kid === key.kid);
    const kept = keys.filter((one) => isListed(one) || (one.how === 'added' && !keys.some((other) => other.how === 'endorsed' && other.since >= one.since)));
    return kept.length === known.length && kept.every((one, at) => one === known[at]) ? known : kept;
  }

  /** Returns listed keys that are new and endorsed, directly or through others, by known ones. */
  async #successors(domain: string, listed: readonly Listed[], known: readonly KeptKey[]): Promise<KeptKey[]> {
    const found: KeptKey[] = [];
    const isKnown = (kid: string): boolean => [...known, ...found].some(({ key }) => key.kid === kid);
    const since = this.#components.clock.date();
    // Keys may be listed in any order. Each round adds at least one, or is the last.
    for (let before = -1; before < found.length;) {
      before = found.length;
      for (const { key, endorsement } of listed) {
        if (endorsement === undefined || isKnown(key.kid)) continue;
        const believed = [...known, ...found];
        const by = async (keys: readonly KeptKey[]): Promise<boolean> => isEndorsed(endorsement, domain, key, keys.map((one) => one.key));
        if (!(await by(believed))) continue;
        found.push({ key, since, how: 'endorsed', byHand: await by(believed.filter(({ byHand }) => byHand)) });
        this.#components.log('info', `the publisher of ${domain} has a new key, endorsed by one that is believed: ${key.kid}`);
      }
    }
    return found;
  }

  #keys(domain: string): readonly KeptKey[] {
    return this.#components.kept.get(domain)?.keys ?? [];
  }
}

const view = (domain: string, { key, since, how, byHand }: KeptKey): TrustedKey => ({ domain, keyId: key.kid, since: new Date(since).toISOString(), how, byHand });

const trustHint = (domain: string, keyId: string): string => `if its owner confirms that: protofly catalogue trust add ${domain} ${keyId}`;

const noKey = (domain: string, known: readonly KeptKey[]): ProtoflyError =>
  new ProtoflyError('E_UNSIGNED', known.length === 0
    ? `${domain} shows no publisher key: what it offers isn't signed`
    : `${domain} shows no publisher key any more; believed was ${known.map(({ key }) => key.kid).join(', ')}`, { hint: 'ask the owner of the domain' });

/** Returns the keys of a domain's description, the current one first. */
const listedIn = async ({ publisherKey, publisherKeys = [] }: DomainInfo): Promise<Listed[]> => {
  const current = publisherKey ?? publisherKeys[0]?.key;
  const entries = publisherKeys.map(({ key, endorsement }): Listed => ({ key, endorsement }));
  const all = current === undefined ? [] : [
    ...(entries.some(({ key }) => key.kid === current.kid) ? [] : [{ key: current, endorsement: undefined }]),
    ...entries.sort((a, b) => Number(b.key.kid === current.kid) - Number(a.key.kid === current.kid)),
  ];
  return Promise.all(all.map(async ({ key, endorsement }) => ({ key: await checkPublicKey(key), endorsement })));
};
