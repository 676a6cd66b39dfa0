import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { ProtoflyError } from '../../protocol/index.js';
import { CHUNK_BYTES } from './wire.js';

/** The content to send. It holds only the bytes in flight. */
export interface Source {
  /** An id that is equal for equal content, if the content is known before it is sent. */
  readonly id: string;
  readonly name: string;
  /** Size in bytes. Undefined if it is known only at the end. */
  readonly size?: number;
  readonly sha256?: string;
  /**
   * Returns at most one chunk, or an empty buffer at the end. May be called while a previous call is pending.
   * @throws ProtoflyError
   */
  read(offset: number): Promise<Buffer>;
  /** Releases all bytes before `offset`: the receiver has them. */
  release(offset: number): void;
  /** Returns size and SHA-256 of all bytes read. Valid at the end. */
  digest(): { readonly size: number; readonly sha256: string };
  /** True if the content has changed since the beginning. */
  changed(): Promise<boolean>;
  /** Closes the source. Idempotent. */
  close(): Promise<void>;
}

const HASH_BYTES = 1024 * 1024;

/**
 * Reads up to `size` bytes of an open file.
 * @returns the number of bytes and their SHA-256 in lower-case hex
 * @throws errors of the file system
 */
const readThrough = async (handle: FileHandle, size: number, signal?: AbortSignal): Promise<{ readonly size: number; readonly sha256: string }> => {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(HASH_BYTES);
  let at = 0;
  while (at < size) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - at), at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return { size: at, sha256: hash.digest('hex') };
};

/**
 * Returns the SHA-256 of the first `size` bytes of an open file, in lower-case hex.
 * @throws errors of the file system
 */
export const hashFile = async (handle: FileHandle, size: number, signal?: AbortSignal): Promise<string> => (await readThrough(handle, size, signal)).sha256;

const unreadable = (path: string, cause: unknown): ProtoflyError => {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT') return new ProtoflyError('E_NOT_FOUND', `there is no file ${path}`, { cause });
  return new ProtoflyError('E_USAGE', `${path} can't be read: ${cause instanceof Error ? cause.message : 'no reason'}`, { cause });
};

const stateOf = async (handle: FileHandle): Promise<string> => {
  const { size, mtimeNs } = await handle.stat({ bigint: true });
  return `${String(size)} ${String(mtimeNs)}`;
};

/**
 * Opens a file without blocking, and checks that it is a regular file.
 * @throws ProtoflyError `E_NOT_FOUND`, `E_USAGE`
 */
const openRegular = async (path: string): Promise<FileHandle> => {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => { throw unreadable(path, cause); });
  const stat = await handle.stat();
  if (stat.isFile()) return handle;
  await handle.close();
  throw new ProtoflyError('E_USAGE', stat.isDirectory() ? `${path} is a folder` : `${path} is no file`, { hint: stat.isDirectory() ? 'pack it first: tar cz … | protofly msg send ADDRESS --file - --name …' : 'a stream is sent with --file - --name NAME' });
};

/**
 * True if a file has the size that it reports. Files of /proc and /sys are generated on reading, and may report any
 * size.
 */
const isSized = async (handle: FileHandle, said: number, found: number): Promise<boolean> =>
  said === found && (said > 0 || (await handle.read(Buffer.allocUnsafe(1), 0, 1, 0)).bytesRead === 0);

/** Returns a source for a file of unknown size. It is sent while it is read, up to its end. */
const unsizedSource = (handle: FileHandle, path: string, name: string): Source => {
  const source = streamSource(handle.createReadStream({ start: 0, autoClose: false }), { name });
  return {
    ...source,
    read: (offset) => source.read(offset).catch((cause: unknown) => { throw cause instanceof ProtoflyError ? cause : unreadable(path, cause); }),
    close: async () => {
      await source.close();
      await handle.close();
    },
  };
};

/**
 * Returns a source for a file on disk. It is read once before sending, for its hash: the receiver uses the hash to
 * find a part that it already has. A file whose content doesn't match its reported size is sent like a stream.
 * @throws ProtoflyError `E_NOT_FOUND`, `E_USAGE`, or the signal's reason
 */
export const fileSource = async (path: string, { name = basename(path), signal }: { readonly name?: string | undefined; readonly signal?: AbortSignal | undefined } = {}): Promise<Source> => {
  const handle = await openRegular(path);
  try {
    const { size } = await handle.stat();
    const state = await stateOf(handle);
    const unread = (cause: unknown): never => {
      signal?.throwIfAborted();
      throw unreadable(path, cause);
    };
    const { sha256, size: found } = await readThrough(handle, size, signal).catch(unread);
    if (!(await isSized(handle, size, found).catch(unread))) return unsizedSource(handle, path, name);
    return {
      id: `sha256-${sha256}-${String(size)}`, name, size, sha256,
      read: async (offset) => {
        const length = Math.max(0, Math.min(CHUNK_BYTES, size - offset));
        const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, offset).catch((cause: unknown) => { throw unreadable(path, cause); });
        return buffer.subarray(0, bytesRead);
      },
      release: () => undefined,
      digest: () => ({ size, sha256 }),
      changed: async () => (await stateOf(handle)) !== state,
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
};

/**
 * Returns a source for a stream that can't be read again. It keeps the bytes that the receiver doesn't have yet, and
 * reads no further than asked.
 */
export const streamSource = (stream: AsyncIterable<Buffer>, { name }: { readonly name: string }): Source => {
  const iterator = stream[Symbol.asyncIterator]();
  const hash = createHash('sha256');
  let kept: { readonly at: number; readonly bytes: Buffer }[] = [];
  let end = 0;
  let over = false;
  let pulling: Promise<void> | undefined;
  const pull = async (): Promise<void> => {
    const { done, value } = await iterator.next();
    if (done === true) { over = true; return; }
    hash.update(value);
    for (let from = 0; from < value.length; from += CHUNK_BYTES) {
      const bytes = value.subarray(from, from + CHUNK_BYTES);
      kept.push({ at: end, bytes });
      end += bytes.length;
    }
  };
  return {
    id: `stream-${randomUUID()}`, name,
    read: async (offset) => {
      while (offset >= end && !over) await (pulling ??= pull().finally(() => { pulling = undefined; }));
      if (offset >= end) return Buffer.alloc(0);
      const found = kept.find(({ at, bytes }) => at <= offset && offset < at + bytes.length);
      if (found === undefined) throw new ProtoflyError('E_UNAVAILABLE', 'the receiver has lost its part, and a stream can\'t be sent again', { hint: 'send it as a file' });
      return found.bytes.subarray(offset - found.at);
    },
    release: (offset) => { kept = kept.filter(({ at, bytes }) => at + bytes.length > offset); },
    digest: () => ({ size: end, sha256: hash.copy().digest('hex') }),
    changed: () => Promise.resolve(false),
    close: async () => { await iterator.return?.(undefined); },
  };
};
