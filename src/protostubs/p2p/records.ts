/**
 * `protofly/1`: the content of a data channel's frames. Every frame is binary and a sequence of whole records. A record
 * is a kind (one byte) and the fields below, with big-endian integers:
 *
 * | kind | record | fields |
 * |---|---|---|
 * | 1 | MESSAGES | length u32, then that many bytes: lines of UTF-8, separated by LF; each is a message as JSON, or a line as in `lanes.ts` |
 * | 2 | BEGIN | stream u16, total u32: a message of `total` bytes follows in chunks |
 * | 3 | CHUNK | stream u16, length u32, then that many bytes of it; the stream ends when `total` is reached |
 * | 4 | CREDIT | window u32, bulk u32: how many more bytes may be sent |
 * | 5 | PING | nonce u32 |
 * | 6 | PONG | nonce u32 |
 * | 7 | FIN | the sender will send no more messages |
 * | 8 | FIN-ACK | everything before the FIN was received, and the sender will send no more either |
 *
 * Two credits bound a receiver's memory. MESSAGES cost their length of the *window*, and may overdraw it by one frame.
 * BEGIN costs its total of the *bulk* credit; chunks are free. Both are given back when the messages have been consumed.
 */
export const KIND = { messages: 1, begin: 2, chunk: 3, credit: 4, ping: 5, pong: 6, fin: 7, finAck: 8 } as const;

/** Initial window: maximum of unconsumed bytes in MESSAGES. */
export const WINDOW = 1024 * 1024;
/** Initial bulk credit: maximum of unconsumed bytes in chunked messages. One message of the largest size fits. */
export const BULK = 16 * 1024 * 1024;
/** Maximum number of messages sent in chunks at once. */
export const MAX_STREAMS = 16;
/** Maximum size of an accepted frame, in bytes. */
export const MAX_FRAME = 256 * 1024;

export type FrameRecord =
  | { readonly kind: 'messages'; readonly payload: Uint8Array }
  | { readonly kind: 'begin'; readonly stream: number; readonly total: number }
  | { readonly kind: 'chunk'; readonly stream: number; readonly payload: Uint8Array }
  | { readonly kind: 'credit'; readonly window: number; readonly bulk: number }
  | { readonly kind: 'ping' | 'pong'; readonly nonce: number }
  | { readonly kind: 'fin' | 'fin-ack' };

/** Sizes of record headers, in bytes. */
export const MESSAGES_HEADER = 5;
export const CHUNK_HEADER = 7;
export const BEGIN_SIZE = 7;

/** The other side broke the protocol; the text says how. */
export class FramingViolation extends Error {}

const u32 = (bytes: Uint8Array, at: number): number => {
  if (at + 4 > bytes.length) throw new FramingViolation('a record is cut off');
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
};

const u16 = (bytes: Uint8Array, at: number): number => {
  if (at + 2 > bytes.length) throw new FramingViolation('a record is cut off');
  return (bytes[at]! << 8) | bytes[at + 1]!;
};

const span = (bytes: Uint8Array, at: number, length: number): Uint8Array => {
  if (length === 0 || at + length > bytes.length) throw new FramingViolation('a record is longer than its frame, or empty');
  return bytes.subarray(at, at + length);
};

/** Parses a frame record by record. @throws FramingViolation */
export function* readFrame(bytes: Uint8Array): Generator<FrameRecord> {
  if (bytes.length === 0 || bytes.length > MAX_FRAME) throw new FramingViolation('an empty frame, or a huge one');
  for (let at = 0; at < bytes.length;) {
    const kind = bytes[at]!;
    at += 1;
    switch (kind) {
      case KIND.messages: {
        const payload = span(bytes, at + 4, u32(bytes, at));
        at += 4 + payload.length;
        yield { kind: 'messages', payload };
        break;
      }
      case KIND.begin:
        yield { kind: 'begin', stream: u16(bytes, at), total: u32(bytes, at + 2) };
        at += 6;
        break;
      case KIND.chunk: {
        const payload = span(bytes, at + 6, u32(bytes, at + 2));
        yield { kind: 'chunk', stream: u16(bytes, at), payload };
        at += 6 + payload.length;
        break;
      }
      case KIND.credit:
        yield { kind: 'credit', window: u32(bytes, at), bulk: u32(bytes, at + 4) };
        at += 8;
        break;
      case KIND.ping:
      case KIND.pong:
        yield { kind: kind === KIND.ping ? 'ping' : 'pong', nonce: u32(bytes, at) };
        at += 4;
        break;
      case KIND.fin:
        yield { kind: 'fin' };
        break;
      case KIND.finAck:
        yield { kind: 'fin-ack' };
        break;
      default:
        throw new FramingViolation(`a record of unknown kind ${String(kind)}`);
    }
  }
}

/** Writes records into successive frames. A frame is valid only until the next one is begun. */
export class RecordWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #encoder = new TextEncoder();
  #length = 0;

  constructor(maxFrame: number) {
    this.#bytes = new Uint8Array(maxFrame);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes that still fit into the frame. */
  get room(): number {
    return this.#bytes.length - this.#length;
  }

  /** Returns the frame, or undefined if nothing was written. The next record begins a new frame. */
  take(): Uint8Array | undefined {
    if (this.#length === 0) return undefined;
    const frame = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return frame;
  }

  /** @returns the size of the texts in bytes. They must fit, at three bytes per UTF-16 code unit. */
  messages(texts: readonly string[]): number {
    const start = this.#length + MESSAGES_HEADER;
    const { written } = this.#encoder.encodeInto(texts.length === 1 ? texts[0]! : texts.join('\n'), this.#bytes.subarray(start));
    this.#bytes[this.#length] = KIND.messages;
    this.#view.setUint32(this.#length + 1, written);
    this.#length = start + written;
    return written;
  }

  begin(stream: number, total: number): void {
    this.#bytes[this.#length] = KIND.begin;
    this.#view.setUint16(this.#length + 1, stream);
    this.#view.setUint32(this.#length + 3, total);
    this.#length += BEGIN_SIZE;
  }

  chunk(stream: number, payload: Uint8Array): void {
    this.#bytes[this.#length] = KIND.chunk;
    this.#view.setUint16(this.#length + 1, stream);
    this.#view.setUint32(this.#length + 3, payload.length);
    this.#bytes.set(payload, this.#length + CHUNK_HEADER);
    this.#length += CHUNK_HEADER + payload.length;
  }

  credit(window: number, bulk: number): void {
    this.#bytes[this.#length] = KIND.credit;
    this.#view.setUint32(this.#length + 1, window);
    this.#view.setUint32(this.#length + 5, bulk);
    this.#length += 9;
  }

  pingOrPong(kind: 'ping' | 'pong', nonce: number): void {
    this.#bytes[this.#length] = KIND[kind];
    this.#view.setUint32(this.#length + 1, nonce >>> 0);
    this.#length += 5;
  }

  fin(acknowledge: boolean): void {
    this.#bytes[this.#length] = acknowledge ? KIND.finAck : KIND.fin;
    this.#length += 1;
  }
}
