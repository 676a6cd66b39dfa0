import { closeSync, fstatSync, ftruncateSync, openSync, statfsSync, writeSync } from 'node:fs';

/** File systems that write nothing in place: a file that is there reserves nothing for what is written over it. */
const COPIES_ON_WRITE: ReadonlySet<number> = new Set([0x9123683e /* btrfs */, 0x2fc12fc1 /* ZFS */, 0xca451a4e /* bcachefs */, 0xf2f52010 /* F2FS */]);
/** What has to be free on such a one besides twice what may be written, in bytes. */
const MARGIN = 16 * 1024 * 1024;
/** The file becomes longer by this more than is needed, or by an eighth, where there is room for that. In bytes. */
const STEP = 256 * 1024;
const PIECE = Buffer.alloc(256 * 1024);

export const copiesOnWrite = (path: string): boolean => COPIES_ON_WRITE.has(statfsSync(path).type >>> 0);

const freeBytes = (path: string): number => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

/**
 * Room on disk for a database to grow into: zeros behind its end, in its own file, which lmdb takes for nothing and
 * writes over. lmdb must never find the disk full: where it does, its binding writes behind the end of a string, and
 * the process ends sooner or later.
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
   * Makes sure that the database can grow.
   * @param used how much of the file is lmdb's, or may be before it has ended the transactions under way, in bytes
   * @throws an error with the code `ENOSPC` or `EDQUOT` when there is no room; what else the file system says
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

  /** @returns whether there was room; if not, all is as before */
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
