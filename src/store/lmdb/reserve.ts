import { closeSync, fstatSync, ftruncateSync, openSync, statfsSync, writeSync } from 'node:fs';

/** File systems that never write in place: existing blocks of a file reserve no space for overwriting them. */
const COPIES_ON_WRITE: ReadonlySet<number> = new Set([0x9123683e /* btrfs */, 0x2fc12fc1 /* ZFS */, 0xca451a4e /* bcachefs */, 0xf2f52010 /* F2FS */]);
/** Free space needed on such a file system, besides twice the size of the writes, in bytes. */
const MARGIN = 16 * 1024 * 1024;
/**
 * Minimum extra space for each extension, in bytes. The extra space is an eighth of the used part if that is more, and if
 * there is room.
 */
const STEP = 256 * 1024;
const PIECE = Buffer.alloc(256 * 1024);

export const copiesOnWrite = (path: string): boolean => COPIES_ON_WRITE.has(statfsSync(path).type >>> 0);

const freeBytes = (path: string): number => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

/**
 * Reserves disk space for the growth of a database: zeros after its end, in its own file, which lmdb ignores and
 * overwrites. lmdb must never find the disk full: its binding would then write beyond the end of a string, and the
 * process would crash sooner or later.
 */
export class Reserve {
  readonly #folder: string;
  readonly #handle: number;
  readonly #copiesOnWrite: boolean;

  /** @param file the database, in `folder` */
  constructor(folder: string, file: string) {
    this.#folder = folder;
    this.#copiesOnWrite = copiesOnWrite(folder);
    this.#handle = openSync(file, 'r+');
  }

  /**
   * Makes sure that the database can grow by `growth` bytes.
   * @param used the bytes of the file that lmdb uses, or may use once its current transactions have ended
   * @throws an error with the code `ENOSPC` or `EDQUOT` if there is no room; other errors of the file system
   */
  ensure(used: number, growth: number): void {
    const free = freeBytes(this.#folder);
    if (this.#copiesOnWrite && free < 2 * growth + MARGIN) throw noRoom();
    const { size } = fstatSync(this.#handle);
    const least = used + growth;
    if (size >= least) return;
    const best = least + Math.max(STEP, Math.floor(used / 8));
    if (free >= 2 * (best - size) && this.#extend(size, best)) return;
    if (free < least - size || !this.#extend(size, least)) throw noRoom();
  }

  close(): void {
    closeSync(this.#handle);
  }

  /** @returns true if there was room; otherwise the file is unchanged */
  #extend(from: number, to: number): boolean {
    try {
      for (let at = from; at < to;) at += writeSync(this.#handle, PIECE, 0, Math.min(PIECE.length, to - at), at);
      return true;
    } catch (thrown) {
      ftruncateSync(this.#handle, from);
      const { code } = thrown as NodeJS.ErrnoException;
      if (code === 'ENOSPC' || code === 'EDQUOT') return false;
      throw thrown;
    }
  }
}

const noRoom = (): Error => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
