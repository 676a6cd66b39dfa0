import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { asProtoflyError, MAX_MESSAGE_BYTES, ProtoflyError } from '../protocol/index.js';
import type { Context } from './context.js';
import { askDomain } from './daemons/domain.js';

export interface PublishInput {
  /** Path of the descriptor. */
  readonly file: string;
  /** Path of the code. */
  readonly source?: string | undefined;
  /** Name of the domain server. Defaults to the only running one. */
  readonly domain?: string | undefined;
  readonly timeoutMs: number;
}

/** The domain server's answer: docs/control.md, "The domain server's socket". */
export interface Publication {
  readonly domain: string;
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly cguid: string;
  /** Content address of the code, if any. */
  readonly hash?: string;
  readonly keyId: string;
}

type Descriptor = Readonly<Record<string, unknown>>;

/**
 * @throws ProtoflyError `E_NOT_FOUND`, `E_USAGE` for an unreadable file, `E_PACKAGE_SIZE` for a file larger than any
 * message
 */
const readBytes = async (path: string): Promise<Buffer> => {
  try {
    const file = await open(path, 'r');
    try {
      const info = await file.stat();
      if (!info.isFile()) throw new ProtoflyError('E_USAGE', `${path} is not a file`);
      if (info.size > MAX_MESSAGE_BYTES) throw new ProtoflyError('E_PACKAGE_SIZE', `${path} has ${String(info.size)} bytes: that is more than a catalogue takes`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof ProtoflyError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new ProtoflyError('E_NOT_FOUND', `there is no file ${path}`, { cause });
    throw new ProtoflyError('E_USAGE', `${path} can't be read: ${asProtoflyError(cause).message}`, { cause });
  }
};

/** @throws ProtoflyError `E_DESCRIPTOR` */
const readDescriptor = async (path: string): Promise<Descriptor> => {
  const bytes = await readBytes(path);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new ProtoflyError('E_DESCRIPTOR', `${path} isn't JSON: ${asProtoflyError(cause).message}`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ProtoflyError('E_DESCRIPTOR', `${path} holds no descriptor: it isn't an object`);
  return value as Descriptor;
};

/**
 * Returns a path beside the descriptor. Paths that leave the folder are refused: a foreign descriptor could name any
 * file of the publishing user.
 */
const besideOf = (file: string, path: string): string => {
  const normal = normalize(path);
  if (!isAbsolute(normal) && normal.split(/[\\/]/)[0] !== '..') return join(dirname(file), normal);
  throw new ProtoflyError('E_DESCRIPTOR', `sourcePackageURL of ${file} leads out of its folder: ${path}`, { hint: 'name the code with --source' });
};

/** Returns the path of the code; undefined if the code is in the descriptor or at another URL. */
const sourceFile = ({ sourcePackage, sourcePackageURL: url }: Descriptor, { file, source }: PublishInput): string | undefined => {
  if (source !== undefined && sourcePackage !== undefined) throw new ProtoflyError('E_USAGE', `${file} has its code in itself: leave out --source`);
  if (source !== undefined || sourcePackage !== undefined) return source;
  return typeof url === 'string' && url !== '' && !/^[A-Za-z][A-Za-z0-9+.-]*:/.test(url) ? besideOf(file, url) : undefined;
};

/**
 * Publishes a descriptor and its code in the catalogue of a domain server on this machine. The server checks and
 * signs it.
 * @throws ProtoflyError `E_NOT_FOUND`, `E_USAGE`, `E_DESCRIPTOR`, `E_PACKAGE_SIZE`, `E_NOT_RUNNING`
 */
export const publish = async (context: Context, input: PublishInput): Promise<Publication> => {
  const descriptor = await readDescriptor(input.file);
  const path = sourceFile(descriptor, input);
  let value = descriptor;
  if (path !== undefined) {
    const bytes = await readBytes(path);
    const encoding = isUtf8(bytes) ? 'utf-8' : 'base64';
    const sourcePackage = { sourceCodeClassname: descriptor['objectName'] ?? '', sourceCode: bytes.toString(encoding === 'utf-8' ? 'utf8' : encoding), encoding };
    value = { ...descriptor, sourcePackageURL: '', sourcePackage };
  }
  return (await askDomain(context, input.domain, 'create', { resource: 'catalogue', value }, input.timeoutMs)) as Publication;
};
