import type { Store } from '../../store/store.js';
import type { KeyKeeper } from './key-keeper.js';

/** Keeps a domain's keys in its store. */
export const storeKeeper = (store: Store, domain: string): KeyKeeper => {
  const texts = store.collection<string>('publisher');
  return {
    where: `the publisher key of ${domain} in the store`,
    read: async () => texts.get(domain),
    write: (text) => texts.put(domain, text),
  };
};
