import type { SharedKeyKeeper } from '../security/key-keeper.js';
import type { Store } from './store.js';

/** Keeps a secret document in a store. @param where its collection, its key, and what it is */
export const storeKeeper = (store: Store, { collection, key, what }: { readonly collection: string; readonly key: string; readonly what: string }): SharedKeyKeeper => {
  const texts = store.collection<string>(collection);
  return {
    where: `${what} in the store`,
    read: async () => texts.get(key),
    write: (text) => texts.put(key, text),
    create: (text) => store.transaction(() => {
      const there = texts.get(key);
      if (there !== undefined) return there;
      void texts.put(key, text);
      return text;
    }),
  };
};
