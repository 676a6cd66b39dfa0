/** A tree of the database, and what a transaction does to it. */
export interface TreeWork {
  readonly depth: number;
  /** Its pages, without those of large values. */
  readonly pages: number;
  /** How many keys are written or deleted. */
  readonly writes: number;
  /** Of keys and values that are written, in bytes; 0 for deletes alone. */
  readonly bytes: number;
  /** Pages of the values that don't fit into the tree itself. */
  readonly largePages: number;
}

export interface Work {
  readonly pageSize: number;
  /** The last page that the database uses. */
  readonly lastPage: number;
  readonly trees: readonly TreeWork[];
}

/** lmdb loads no more than this of the list of its free pages, and writes back what it has loaded. */
const MOST_FREE_PAGES = 200_000;
const ENTRY_BYTES = 8;
/** lmdb may write its list of free pages several times in one transaction, a third of it empty. */
const FREE_LIST_FACTOR = 6;
const FIXED = 16;

/**
 * An upper bound of the pages by which one lmdb transaction makes the database longer. lmdb writes no page in place:
 * each page on the way to a key is written anew, and may be split; so are the trees' directory and the list of free pages.
 */
export const growthOf = ({ pageSize, lastPage, trees }: Work): number => {
  let pages = FIXED;
  for (const { depth, pages: present, writes, bytes, largePages } of trees) {
    const renewed = Math.min(writes * 2 * (depth + 1), present + 1);
    // After its first split a page is half empty: the next takes half a page of entries.
    const split = Math.min(writes * (depth + 2), renewed + 3 * Math.ceil(bytes / pageSize) + depth + 2);
    pages += renewed + split + largePages + 2;
  }
  const freeList = Math.ceil((ENTRY_BYTES * FREE_LIST_FACTOR * Math.min(lastPage + pages, MOST_FREE_PAGES)) / pageSize);
  return pages + freeList;
};
