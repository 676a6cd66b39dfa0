/** A tree of the database, and the work of a transaction on it. */
export interface TreeWork {
  readonly depth: number;
  /** Its number of pages, without those of large values. */
  readonly pages: number;
  /** The number of keys written or deleted. */
  readonly writes: number;
  /** Size of the keys and values written, in bytes. 0 if there are only deletes. */
  readonly bytes: number;
  /** The number of pages of values that don't fit into the tree. */
  readonly largePages: number;
}

export interface Work {
  readonly pageSize: number;
  /** The number of the last page in use. */
  readonly lastPage: number;
  readonly trees: readonly TreeWork[];
}

/** Maximum number of free pages that lmdb loads from its list, and writes back. */
const MOST_FREE_PAGES = 200_000;
const ENTRY_BYTES = 8;
/** lmdb may write its list of free pages several times in one transaction, a third of it empty. */
const FREE_LIST_FACTOR = 6;
const FIXED = 16;

/**
 * Returns an upper bound of the pages by which a transaction extends the database. lmdb never writes in place. Each
 * page from the root to a changed key is written anew, and may be split. The same holds for the directory of trees
 * and the list of free pages.
 */
export const growthOf = ({ pageSize, lastPage, trees }: Work): number => {
  let pages = FIXED;
  for (const { depth, pages: present, writes, bytes, largePages } of trees) {
    const renewed = Math.min(writes * 2 * (depth + 1), present + 1);
    // A page is half empty after a split: the next split needs half a page of new entries.
    const split = Math.min(writes * (depth + 2), renewed + 3 * Math.ceil(bytes / pageSize) + depth + 2);
    pages += renewed + split + largePages + 2;
  }
  const freeList = Math.ceil((ENTRY_BYTES * FREE_LIST_FACTOR * Math.min(lastPage + pages, MOST_FREE_PAGES)) / pageSize);
  return pages + freeList;
};
