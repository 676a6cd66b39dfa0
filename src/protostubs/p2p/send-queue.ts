import { MAX_MESSAGE_BYTES, ProtoflyError, encodeMessage, type Message, type Backpressure } from '../../protocol/index.js';
import { QueueBackpressure, MAX_QUEUED } from './framing.js';
import { LANE_OVERHEAD, LaneWriter } from './lanes.js';
import { BEGIN_SIZE, BULK, CHUNK_HEADER, MAX_STREAMS, MESSAGES_HEADER, WINDOW, type RecordWriter } from './records.js';

/** Size of a batch in UTF-16 code units, unless its first message alone is longer. */
const BATCH = 16 * 1024;
/** Bytes of one message per frame, so that other messages can interleave. */
const CHUNK = 16 * 1024;

interface Item {
  readonly message: Message;
  readonly text: string;
}

interface Large extends Item {
  /** Number of small messages to be sent before it. */
  readonly after: number;
}

interface Stream {
  readonly id: number;
  readonly item: Item;
  readonly bytes: Uint8Array;
  readonly way: string;
  sent: number;
}

const wayOf = (message: Message): string => `${message.from} ${String(message.to)}`;

/**
 * The send queue of a channel. Small messages go in batches. Large messages go in chunks, which alternate with
 * each other and with batches. Messages of the same sender and receiver wait behind a large one, which keeps
 * their order.
 */
export class ChannelSendQueue {
  readonly #backpressure = new QueueBackpressure();
  readonly #encoder = new TextEncoder();
  /** Maximum length of a message sent in one piece, in UTF-16 code units; longer ones go in chunks. */
  readonly #whole: number;
  readonly #chunk: number;
  #small: Item[] = [];
  #head = 0;
  #smallAdded = 0;
  #smallSent = 0;
  /** Large messages that wait for earlier small ones and for bulk credit, oldest first. */
  readonly #large: Large[] = [];
  readonly #streams: Stream[] = [];
  /** Messages that wait behind a large one, by sender and receiver. */
  readonly #behind = new Map<string, Item[]>();
  readonly #lanes = new LaneWriter();
  /** The compressed line of the first small message, if already known. */
  #line: string | undefined;
  #queued = 0;
  #window = WINDOW;
  #bulk = BULK;
  #nextStream = 0;
  #chunkNext = false;

  constructor(maxFrame: number) {
    // A text of n UTF-16 code units takes up to 3n bytes.
    this.#whole = Math.floor((maxFrame - MESSAGES_HEADER) / 3) - LANE_OVERHEAD;
    this.#chunk = Math.min(CHUNK, maxFrame - CHUNK_HEADER - BEGIN_SIZE);
  }

  get isEmpty(): boolean {
    return this.#queued === 0;
  }

  /** @throws ProtoflyError `E_TOO_LARGE`, `E_TOO_MANY` */
  add(message: Message): Backpressure {
    const text = encodeMessage(message);
    if (text.length * 3 > MAX_MESSAGE_BYTES && (text.length > MAX_MESSAGE_BYTES || this.#encoder.encode(text).length > MAX_MESSAGE_BYTES)) {
      throw new ProtoflyError('E_TOO_LARGE', `the message is larger than ${String(MAX_MESSAGE_BYTES)} bytes`);
    }
    if (this.#queued > MAX_QUEUED) throw new ProtoflyError('E_TOO_MANY', 'the send queue of this connection is full');
    this.#queued += text.length;
    this.#sort({ message, text });
    return this.#backpressure.check(this.#queued);
  }

  /** Adds credit from the other side. @returns false if it exceeds the maximum */
  credit(window: number, bulk: number): boolean {
    this.#window += window;
    this.#bulk += bulk;
    return this.#window <= WINDOW && this.#bulk <= BULK;
  }

  /** Writes the next frame. Writes nothing if the queue is empty or the credit is used up. */
  write(writer: RecordWriter): void {
    this.#startStreams();
    const chunkFirst = this.#chunkNext && this.#streams.length > 0;
    if (chunkFirst || !this.#writeBatch(writer)) this.#writeChunk(writer);
    this.#chunkNext = !chunkFirst;
    this.#backpressure.release(this.#queued);
  }

  /** Empties the queue. @returns messages not sent completely, oldest first for each sender and receiver */
  clear(): Message[] {
    const items = [
      ...this.#streams.map(({ item }) => item), ...this.#large, ...this.#small.slice(this.#head), ...[...this.#behind.values()].flat(),
    ];
    this.#streams.length = this.#large.length = this.#queued = 0;
    this.#advance(this.#small.length);
    this.#behind.clear();
    this.#backpressure.release(0);
    return items.map(({ message }) => message);
  }

  #sort(item: Item): void {
    if (this.#behind.size > 0) {
      const waiting = this.#behind.get(wayOf(item.message));
      if (waiting !== undefined) {
        waiting.push(item);
        return;
      }
    }
    if (item.text.length <= this.#whole) {
      this.#small.push(item);
      this.#smallAdded += 1;
      return;
    }
    this.#behind.set(wayOf(item.message), []);
    this.#large.push({ ...item, after: this.#smallAdded });
  }

  #startStreams(): void {
    for (let item = this.#large[0]; item !== undefined && this.#streams.length < MAX_STREAMS; item = this.#large[0]) {
      // UTF-8 takes at least one byte per code unit, so some texts needn't be encoded to see that they don't
      // fit.
      if (item.after > this.#smallSent || item.text.length > this.#bulk) return;
      const bytes = this.#encoder.encode(item.text);
      if (bytes.length > this.#bulk) return;
      this.#large.shift();
      this.#bulk -= bytes.length;
      this.#streams.push({ id: this.#freeStream(), item, bytes, way: wayOf(item.message), sent: 0 });
    }
  }

  #freeStream(): number {
    do this.#nextStream = (this.#nextStream + 1) & 0xffff;
    while (this.#streams.some(({ id }) => id === this.#nextStream));
    return this.#nextStream;
  }

  #writeBatch(writer: RecordWriter): boolean {
    if (this.#window <= 0 || this.#head >= this.#small.length) return false;
    const lines: string[] = [];
    let units = 0;
    let at = this.#head;
    for (; at < this.#small.length; at++) {
      const { text } = this.#small[at]!;
      const line = this.#line ?? this.#lanes.shorten(text);
      this.#line = undefined;
      if (lines.length > 0 && units + line.length > Math.min(BATCH, this.#whole)) {
        this.#line = line;
        break;
      }
      lines.push(line);
      units += line.length + 1;
      this.#queued -= text.length;
    }
    this.#window -= writer.messages(lines);
    this.#advance(at);
    return true;
  }

  #advance(head: number): void {
    this.#smallSent += head - this.#head;
    this.#head = head;
    if (head === this.#small.length) {
      this.#small.length = 0;
      this.#head = 0;
    } else if (head > 4096 && head * 2 > this.#small.length) {
      this.#small = this.#small.slice(head);
      this.#head = 0;
    }
  }

  #writeChunk(writer: RecordWriter): void {
    const stream = this.#streams.shift();
    if (stream === undefined) return;
    if (stream.sent === 0) writer.begin(stream.id, stream.bytes.length);
    const payload = stream.bytes.subarray(stream.sent, stream.sent + Math.min(this.#chunk, writer.room - CHUNK_HEADER));
    writer.chunk(stream.id, payload);
    stream.sent += payload.length;
    if (stream.sent < stream.bytes.length) {
      this.#streams.push(stream);
      return;
    }
    this.#queued -= stream.item.text.length;
    const waiting = this.#behind.get(stream.way) ?? [];
    this.#behind.delete(stream.way);
    for (const item of waiting) this.#sort(item);
  }
}
