import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { ProtoflyError, type Address, type Request } from '../../protocol/index.js';
import { dropPart, findPart, isStill, keepPart, makePart, openPart, unwritable, type FileId, type Part, type PartKey } from './part.js';
import { hashFile } from './source.js';
import { MAX_CHUNK_BYTES, type Chunk, type End, type Offer } from './wire.js';

/** A received file: complete, checked and at its final path. */
export interface SavedFile {
  readonly path: string;
  readonly size: number;
  /** SHA-256 in lower-case hex. */
  readonly sha256: string;
  readonly from: Address;
  /** The hyperty that received the file. */
  readonly to: Address;
}

/**
 * Limits of the chunks held until earlier chunks arrive, in bytes and in chunks. Chunks overtake each other when the
 * path changes.
 */
const MAX_AHEAD = 2 * MAX_CHUNK_BYTES;
const MAX_HELD = 64;

export interface IncomingInit {
  readonly offer: Offer;
  readonly key: PartKey;
  readonly part: Part;
  readonly folder: string;
  readonly from: Address;
  readonly to: Address;
}

interface Held {
  readonly chunk: Chunk;
  readonly message: Request;
}

const moved = (): ProtoflyError => new ProtoflyError('E_UNAVAILABLE', 'another program has gone on with this file');

/**
 * A file that is being received. Nothing is opened or created before its first byte. Its methods must not be called
 * concurrently.
 */
export class IncomingFile {
  readonly init: IncomingInit;
  readonly #held = new Map<number, Held>();
  #part: Part;
  /** Identity of the opened file at the part's path. Undefined until it is opened. */
  #id: FileId | undefined;
  #offset: number;
  #handle: FileHandle | undefined;
  /**
   * Hash of the whole content. Undefined if an earlier attempt has left a beginning; then the file is read again at
   * the end.
   */
  #hash: Hash | undefined;

  constructor(init: IncomingInit) {
    this.init = init;
    this.#part = init.part;
    this.#offset = init.part.size;
    if (this.#offset === 0) this.#hash = createHash('sha256');
  }

  /** The number of bytes written. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Writes a chunk, and any held chunks that follow it.
   * @returns the messages whose chunks are now written
   * @throws ProtoflyError `E_MESSAGE` for a chunk outside the file, `E_REFUSED` if it can't be written,
   * `E_UNAVAILABLE` if another program has replaced the part
   */
  async take(chunk: Chunk, message: Request): Promise<readonly Request[]> {
    const { offset, bytes } = chunk;
    const { size } = this.init.offer;
    if (size !== undefined && offset + bytes.length > size) throw new ProtoflyError('E_MESSAGE', `malformed file message: a chunk ends behind the file's ${String(size)} bytes`);
    if (offset > this.#offset) {
      this.#held.set(offset, { chunk, message });
      const waiting = [...this.#held.values()].reduce((sum, held) => sum + held.chunk.bytes.length, 0);
      if (offset <= this.#offset + MAX_AHEAD && waiting <= MAX_AHEAD && this.#held.size <= MAX_HELD) return [];
      throw new ProtoflyError('E_MESSAGE', `malformed file message: offset ${String(offset)}, where ${String(this.#offset)} comes next`);
    }
    await this.#write(chunk);
    const written = [message];
    for (const [at, held] of [...this.#held].sort(([a], [b]) => a - b)) {
      if (at > this.#offset) break;
      this.#held.delete(at);
      await this.#write(held.chunk);
      written.push(held.message);
    }
    return written;
  }

  /**
   * Checks the whole file and moves it to its final path.
   * @throws ProtoflyError `E_CONFLICT` if the content differs from what was sent; the part is deleted. Otherwise as
   * `take`
   */
  async finish(end: End): Promise<SavedFile> {
    const { folder, from, to, offer } = this.init;
    const handle = await this.#opened();
    const part = this.#part;
    try {
      if (this.#id === undefined || !(await isStill(part.path, this.#id))) throw moved();
      const sha256 = this.#hash?.copy().digest('hex') ?? await hashFile(handle, this.#offset);
      if (end.size !== this.#offset || end.sha256 !== sha256 || (offer.sha256 ?? sha256) !== sha256) {
        await this.close();
        await dropPart(part.path);
        throw new ProtoflyError('E_CONFLICT', 'the received file differs from the sent one: its hash is another', { hint: 'send it again' });
      }
      await handle.sync();
      await this.close();
      return { path: await keepPart(folder, part), size: this.#offset, sha256, from, to };
    } catch (thrown) {
      throw thrown instanceof ProtoflyError ? thrown : unwritable(thrown);
    }
  }

  /** Closes the part but leaves it on disk. A later chunk opens it again. Idempotent. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    this.#held.clear();
    await handle?.close();
  }

  async #opened(): Promise<FileHandle> {
    try {
      return (this.#handle ??= await (this.#id === undefined && this.#offset === 0 ? this.#made() : this.#reopened()));
    } catch (thrown) {
      throw thrown instanceof ProtoflyError ? thrown : unwritable(thrown);
    }
  }

  /** Creates a part, under a name that no other transfer has taken since the offer. */
  async #made(): Promise<FileHandle> {
    const { folder, key } = this.init;
    for (;;) {
      const handle = await makePart(this.#part.path, key);
      if (handle !== undefined) return this.#identified(handle);
      this.#part = await findPart(folder, this.#part.name, key);
    }
  }

  /** Reopens the existing part, if it is still the same file. */
  async #reopened(): Promise<FileHandle> {
    const before = this.#id;
    const handle = await openPart(this.#part.path).catch((thrown: unknown) => { throw (thrown as NodeJS.ErrnoException).code === 'ENOENT' ? moved() : thrown; });
    try {
      const { dev, ino, size } = await handle.stat();
      if (size < this.#offset || (before !== undefined && (before.dev !== dev || before.ino !== ino))) throw moved();
      this.#id = { dev, ino };
      return handle;
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  }

  async #identified(handle: FileHandle): Promise<FileHandle> {
    const { dev, ino } = await handle.stat();
    this.#id = { dev, ino };
    return handle;
  }

  /** Appends the bytes of a chunk that aren't written yet. */
  async #write({ offset, bytes }: Chunk): Promise<void> {
    const fresh = bytes.subarray(Math.min(this.#offset - offset, bytes.length));
    if (fresh.length === 0) return;
    const handle = await this.#opened();
    try {
      for (let done = 0; done < fresh.length; ) {
        const { bytesWritten } = await handle.write(fresh, done, fresh.length - done, this.#offset);
        this.#hash?.update(fresh.subarray(done, done + bytesWritten));
        done += bytesWritten;
        this.#offset += bytesWritten;
      }
    } catch (thrown) {
      await this.#giveUpStream().catch((failed: unknown) => { throw unwritable(failed); });
      throw unwritable(thrown);
    }
  }

  /** Removes what was written of a stream after a failed write. Its sender can't send it again, so it would stay for ever. */
  async #giveUpStream(): Promise<void> {
    if (this.init.offer.sha256 !== undefined) return;
    await this.close();
    await dropPart(this.#part.path);
  }
}
