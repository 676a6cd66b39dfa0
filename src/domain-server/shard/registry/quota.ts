import { ProtoflyError, type Address } from '../../../protocol/index.js';
import type { Collection, Store } from '../../../store/store.js';
import { digest } from '../keys.js';
import type { Standing } from '../members/standing.js';
import type { RegistryLimits } from './limits.js';

/** The party that is charged for a record. */
export interface Owner {
  readonly runtime: Address;
  /** The holder of the shares that the runtime's session uses. @default limited by the totals alone */
  readonly holder?: string | undefined;
  /** The rights of the runtime's session. @default ANYBODY */
  readonly standing?: Standing;
}

/** An amount of records. */
interface Amount {
  readonly records: number;
  readonly kib: number;
}

interface Account {
  readonly key: string;
  readonly most: Amount;
  readonly refusal: string;
}

const NOTHING: Amount = { records: 0, kib: 0 };

/**
 * Counts the records of each runtime, and of all runtimes of each remote address. The amounts are in the store,
 * so that memory doesn't grow with their number, and a restart forgets nothing. All methods that count or check must
 * be called inside a transaction.
 */
export class RecordQuota {
  readonly #amounts: Collection<Amount>;
  readonly #limits: RegistryLimits;
  #refused = 0;

  constructor({ store }: { readonly store: Store }, limits: RegistryLimits) {
    this.#amounts = store.collection('records-amounts');
    this.#limits = limits;
  }

  /** The records refused since the start because their runtime or remote address had its share. */
  get refused(): number {
    return this.#refused;
  }

  /** True if `more` fits into what the runtime may have. */
  fitsRuntime(runtime: Address, more: Amount): boolean {
    return this.#fits(this.#ofRuntime(runtime), more);
  }

  /** @throws ProtoflyError `E_TOO_MANY` */
  check(owner: Owner, more: Amount): void {
    const full = this.#accountsOf(owner).find((account) => !this.#fits(account, more));
    if (full === undefined) return;
    this.#refused += 1;
    throw new ProtoflyError('E_TOO_MANY', full.refusal);
  }

  count(owner: Owner, { records, kib }: Amount): void {
    if (records === 0 && kib === 0) return;
    for (const { key } of this.#accountsOf(owner)) {
      const before = this.#amounts.get(key) ?? NOTHING;
      // Records of earlier versions weren't counted.
      const now = { records: Math.max(0, before.records + records), kib: Math.max(0, before.kib + kib) };
      if (now.records === 0) void this.#amounts.delete(key);
      else void this.#amounts.put(key, now);
    }
  }

  #fits({ key, most }: Account, more: Amount): boolean {
    const { records, kib } = this.#amounts.get(key) ?? NOTHING;
    return (more.records <= 0 || records + more.records <= most.records) && (more.kib <= 0 || kib + more.kib <= most.kib);
  }

  #ofRuntime(runtime: Address): Account {
    const { perRuntime, kibPerRuntime } = this.#limits;
    return { key: `runtime ${digest(runtime)}`, most: { records: perRuntime, kib: kibPerRuntime }, refusal: `${runtime} has too many records already` };
  }

  #accountsOf({ runtime, holder }: Owner): Account[] {
    const { records, kib, sharePerAddress } = this.#limits;
    return [
      this.#ofRuntime(runtime),
      ...(holder === undefined ? [] : [{ key: `address ${holder}`, most: { records: records * sharePerAddress, kib: kib * sharePerAddress }, refusal: `${holder} has its share of this domain's records already` }]),
      { key: 'all', most: { records, kib }, refusal: 'this domain has too many records already' },
    ];
  }
}
