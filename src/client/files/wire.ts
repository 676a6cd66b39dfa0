import { expectationOf, ProtoflyError, type Request } from '../../protocol/index.js';

/** Size of a chunk, in bytes. */
export const CHUNK_BYTES = 64 * 1024;
/** Maximum number of chunks in flight. Together with their encoding, they stay below 1 MiB. */
export const WINDOW_CHUNKS = 11;
/** Largest chunk accepted from other senders, in bytes. */
export const MAX_CHUNK_BYTES = 1024 * 1024;

/** @see docs/protocol.md, "Files" */
export interface Offer {
  readonly kind: 'offer';
  /** The same id whenever the same file is offered again. */
  readonly id: string;
  readonly name: string;
  /** Size in bytes. Undefined if the sender doesn't know it yet. */
  readonly size?: number;
  /** SHA-256 of the whole, in lower-case hex. Undefined if the sender doesn't know it yet. */
  readonly sha256?: string;
  readonly mimetype?: string;
}

export interface Chunk {
  readonly kind: 'chunk';
  /** The receiver's id of this transfer. */
  readonly transfer: string;
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface End {
  readonly kind: 'end';
  readonly transfer: string;
  readonly size: number;
  readonly sha256: string;
}

export type FileMessage = Offer | Chunk | End;

/** A receiver's answer to an offer. */
export interface Accepted {
  readonly transfer: string;
  /** The offset at which to continue. */
  readonly offset: number;
}

const SHA256 = /^[0-9a-f]{64}$/;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown, longest: number): value is string => typeof value === 'string' && value !== '' && value.length <= longest && value.isWellFormed();
const isSize = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

const malformed = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `malformed file message: ${why}`);

const fileOf = (request: Request): Record<string, unknown> | undefined => {
  const value = request.body?.value;
  return isRecord(value) && isRecord(value['file']) ? value['file'] : undefined;
};

/** True if a message is meant as part of a file transfer. `readFileMessage` checks whether it is valid. */
export const isFileMessage = (request: Request): boolean => {
  if (request.type !== 'create' || expectationOf(request) !== 'response') return false;
  const file = fileOf(request);
  return file !== undefined && (file['transfer'] !== undefined || (file['id'] !== undefined && file['name'] !== undefined));
};

/** Decodes strictly. A lenient decoder would skip invalid characters, and they would be missing in the file. */
const bytesOf = (content: unknown): Buffer => {
  if (typeof content !== 'string' || content === '') throw malformed('content is not base64');
  if (content.length > Math.ceil(MAX_CHUNK_BYTES / 3) * 4) throw new ProtoflyError('E_TOO_LARGE', `a chunk has at most ${String(MAX_CHUNK_BYTES)} bytes`);
  const bytes = Buffer.from(content, 'base64');
  if (bytes.toString('base64') !== content) throw malformed('content is not base64');
  return bytes;
};

/** @throws ProtoflyError `E_MESSAGE`, `E_TOO_LARGE` */
export const readFileMessage = (request: Request): FileMessage => {
  const file = fileOf(request) ?? {};
  const { transfer, id, name, size, sha256, mimetype, offset } = file;
  if (transfer === undefined) {
    if (!isText(id, 256)) throw malformed('id is not a string of 1 to 256 characters');
    if (!isText(name, 4096)) throw malformed('name is not a string of 1 to 4096 characters');
    if (size !== undefined && !isSize(size)) throw malformed('size is no number of bytes');
    if (sha256 !== undefined && !(typeof sha256 === 'string' && SHA256.test(sha256))) throw malformed('sha256 is not 64 digits of lower-case hex');
    if (mimetype !== undefined && !isText(mimetype, 256)) throw malformed('mimetype is not a string of 1 to 256 characters');
    return { kind: 'offer', id, name, ...(size === undefined ? {} : { size }), ...(sha256 === undefined ? {} : { sha256 }), ...(mimetype === undefined ? {} : { mimetype }) };
  }
  if (!isText(transfer, 256)) throw malformed('transfer is not a string of 1 to 256 characters');
  if (file['end'] === true) {
    if (!isSize(size)) throw malformed('size is no number of bytes');
    if (typeof sha256 !== 'string' || !SHA256.test(sha256)) throw malformed('sha256 is not 64 digits of lower-case hex');
    return { kind: 'end', transfer, size, sha256 };
  }
  if (!isSize(offset)) throw malformed('offset is no number of bytes');
  return { kind: 'chunk', transfer, offset, bytes: bytesOf((request.body?.value as Record<string, unknown>)['content']) };
};

export const offerValue = ({ kind: _kind, ...file }: Offer): unknown => ({ file });
export const chunkValue = ({ transfer, offset, bytes }: Chunk): unknown => ({ file: { transfer, offset }, content: bytes.toString('base64') });
export const endValue = ({ transfer, size, sha256 }: End): unknown => ({ file: { transfer, end: true, size, sha256 } });

/** Reads a receiver's response to an offer. Undefined if it is something else. */
export const acceptedOf = (value: unknown): Accepted | undefined => {
  if (!isRecord(value) || !isRecord(value['file'])) return undefined;
  const { transfer, offset } = value['file'];
  return isText(transfer, 256) && isSize(offset) ? { transfer, offset } : undefined;
};
