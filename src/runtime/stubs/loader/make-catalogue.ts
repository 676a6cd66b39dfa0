import type { Clock } from '../../../protocol/index.js';
import type { Store } from '../../../store/index.js';
import { DeploymentPolicy, Serials, type Publishers, type SeenSerials, type StubPolicy } from '../policy/index.js';
import { BuiltInCatalogue } from './built-in.js';
import { DomainCatalogue } from './domain-catalogue.js';
import { Downloads } from './downloads.js';
import type { StubCatalogue } from './loader.js';
import { PackageCache } from './package-cache.js';
import type { DomainsPort, Log } from './ports.js';

export interface CatalogueComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly domains: DomainsPort;
  readonly publishers: Publishers;
  /** The runtime's own domain, whose publisher need not be added by hand. */
  readonly ownDomain: string;
}

/** A catalogue that can also check packages that the policy doesn't allow. */
export interface CheckedCatalogue extends StubCatalogue, Pick<DomainCatalogue, 'verify' | 'onNews' | 'close'> {}

/** Timeout per document, in milliseconds. */
const TIMEOUT_MS = 10_000;

/** Makes the catalogue of the protostubs that a policy allows. */
export const makeCatalogue = ({ store, clock, log, domains, publishers, ownDomain }: CatalogueComponents, allowed: StubPolicy): CheckedCatalogue => {
  const policy = new DeploymentPolicy(allowed, { ownDomain });
  const remote = new DomainCatalogue({
    domains, publishers, policy, log,
    downloads: new Downloads({ domains }, { timeoutMs: TIMEOUT_MS }),
    cache: new PackageCache({ store, clock }),
    serials: new Serials({ seen: store.collection<SeenSerials>('serials'), clock }),
  });
  const stubs: StubCatalogue = policy.allow === 'built-in' ? new BuiltInCatalogue({ domains }) : remote;
  return {
    find: async (origin) => {
      const found = await stubs.find(origin);
      policy.checkCapabilities(found.descriptor, origin);
      return found;
    },
    describe: (origin) => stubs.describe(origin),
    onNews: (listener) => { remote.onNews(listener); },
    verify: (origin) => remote.verify(origin),
    close: () => remote.close(),
  };
};
