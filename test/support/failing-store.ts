import { ProtoflyError } from '../../src/protocol/index.js';
import { memoryStore, type Collection, type Store } from '../../src/store/index.js';

export interface FailingStore extends Store {
  /** While true, every write is undone and reported as failed. */
  isFull: boolean;
}

/** A store in memory whose disk can be full. */
export const failingStore = (): FailingStore => {
  const inner = memoryStore();
  const full = (): ProtoflyError => new ProtoflyError('E_STORE', 'no space left on the disk of /full (ENOSPC)');
  let isNested = false;
  const check = (): Promise<never> | undefined => (store.isFull && !isNested ? Promise.reject(full()) : undefined);
  const store: FailingStore = {
    isFull: false,
    collection: <T>(name: string): Collection<T> => {
      const collection = inner.collection<T>(name);
      return {
        get: (key) => collection.get(key),
        put: (key, value) => check() ?? collection.put(key, value),
        delete: (key) => check() ?? collection.delete(key),
        entries: (range) => collection.entries(range),
        count: () => collection.count(),
      };
    },
    transaction: (run) => inner.transaction(() => {
      isNested = true;
      try {
        const result = run();
        if (store.isFull) throw full();
        return result;
      } finally {
        isNested = false;
      }
    }),
    close: () => inner.close(),
  };
  return store;
};
