import { decodeToPassOn, MAX_MESSAGE_BYTES, type Message, type Backpressure } from '../../protocol/index.js';
import type { FramingStats, Log } from './framing.js';
import { LaneReader } from './lanes.js';
import { BULK, FramingViolation, MAX_FRAME, MAX_STREAMS, WINDOW, type FrameRecord } from './records.js';

export interface InboxComponents {
  readonly deliver: (message: Message) => Backpressure;
  readonly log: Log;
  readonly stats: FramingStats;
  /** Credit is due. Called again with each message until it is taken. */
  readonly onCredit: () => void;
}

/** Messages that came in one piece. */
interface Parcel {
  readonly text: string;
  readonly window: number;
  readonly bulk: number;
}

interface Stream {
  readonly total: number;
  readonly parts: Uint8Array[];
  received: number;
}

/**
 * Messages that have come: joins chunks, delivers messages to the runtime in order, as fast as it takes them, and counts
 * the credit to give back. It holds at most the two credits and one frame.
 */
export class ChannelReceiveQueue {
  readonly #components: InboxComponents;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #streams = new Map<number, Stream>();
  readonly #lanes = new LaneReader();
  #parcels: Parcel[] = [];
  #busy = false;
  #unconsumed = 0;
  #bulkInUse = 0;
  #dueWindow = 0;
  #dueBulk = 0;
  #onEmpty: (() => void) | undefined;

  constructor(components: InboxComponents) {
    this.#components = components;
  }

  /** @throws FramingViolation */
  take(record: FrameRecord & { readonly kind: 'messages' | 'begin' | 'chunk' }): void {
    switch (record.kind) {
      case 'messages':
        this.#unconsumed += record.payload.length;
        if (this.#unconsumed > WINDOW + MAX_FRAME) throw new FramingViolation('more was sent than the window allows');
        this.#parcels.push({ text: this.#decoder.decode(record.payload), window: record.payload.length, bulk: 0 });
        this.#pump();
        break;
      case 'begin':
        if (record.total === 0 || record.total > MAX_MESSAGE_BYTES) throw new FramingViolation('a message of impossible size');
        if (this.#streams.has(record.stream) || this.#streams.size >= MAX_STREAMS) throw new FramingViolation('too many streams, or one begun twice');
        this.#bulkInUse += record.total;
        if (this.#bulkInUse > BULK) throw new FramingViolation('more was sent than the bulk credit allows');
        this.#streams.set(record.stream, { total: record.total, parts: [], received: 0 });
        break;
      case 'chunk':
        this.#assemble(record.stream, record.payload);
    }
  }

  /** Returns the credit to give back now; nothing while that is little. */
  takeDue(): { readonly window: number; readonly bulk: number } | undefined {
    if (!this.#isCreditDue) return undefined;
    const due = { window: this.#dueWindow, bulk: this.#dueBulk };
    this.#dueWindow = this.#dueBulk = 0;
    return due;
  }

  /** Drops incomplete messages. @returns a promise that resolves when the complete ones have been delivered */
  stop(): Promise<void> {
    this.#streams.clear();
    return this.#busy ? new Promise((resolve) => { this.#onEmpty = resolve; }) : Promise.resolve();
  }

  #assemble(id: number, payload: Uint8Array): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) throw new FramingViolation('a chunk of no stream');
    stream.received += payload.length;
    if (stream.received > stream.total) throw new FramingViolation('a message longer than it was said to be');
    // The library owns the frame's memory; copying keeps a small chunk from retaining a large frame.
    stream.parts.push(payload.slice());
    if (stream.parts.length > 1024 && stream.received < stream.parts.length * 256) throw new FramingViolation('chunks too small to be meant');
    if (stream.received < stream.total) return;
    this.#streams.delete(id);
    const bytes = new Uint8Array(stream.total);
    let at = 0;
    for (const part of stream.parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#parcels.push({ text: this.#decoder.decode(bytes), window: 0, bulk: stream.total });
    this.#pump();
  }

  #pump(): void {
    if (this.#busy) return;
    this.#busy = true;
    const parcels = this.#parcels;
    for (let index = 0; index < parcels.length; index++) {
      const rest = this.#open(parcels[index]!, 0);
      if (rest !== undefined) {
        this.#parcels = parcels.slice(index + 1);
        void this.#slowly(parcels[index]!, rest);
        return;
      }
    }
    this.#parcels = [];
    this.#busy = false;
    this.#onEmpty?.();
  }

  /** Continues a parcel when the runtime takes more. */
  async #slowly(parcel: Parcel, { at, backpressure }: { at: number; backpressure: Promise<void> }): Promise<void> {
    await backpressure;
    for (let rest = this.#open(parcel, at); rest !== undefined; rest = this.#open(parcel, rest.at)) await rest.backpressure;
    this.#busy = false;
    this.#pump();
  }

  /** Delivers the messages of a parcel. @returns under backpressure, the position to continue at and the promise to wait for */
  #open(parcel: Parcel, from: number): { at: number; backpressure: Promise<void> } | undefined {
    const { text } = parcel;
    for (let at = from; at < text.length;) {
      const end = text.indexOf('\n', at);
      const backpressure = this.#deliver(end < 0 ? text.slice(at) : text.slice(at, end));
      at = end < 0 ? text.length : end + 1;
      if (backpressure !== undefined) return { at, backpressure };
    }
    this.#consumed(parcel);
    return undefined;
  }

  #deliver(line: string): Backpressure {
    const { stats, log, deliver } = this.#components;
    try {
      const text = this.#lanes.read(line);
      if (text === undefined) return undefined;
      const message = decodeToPassOn(text);
      stats.received += 1;
      return deliver(message);
    } catch (thrown) {
      stats.rejected += 1;
      log('info', `dropped a message: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
      return undefined;
    }
  }

  #consumed({ window, bulk }: Parcel): void {
    this.#unconsumed -= window;
    this.#bulkInUse -= bulk;
    this.#dueWindow += window;
    this.#dueBulk += bulk;
    if (this.#isCreditDue) this.#components.onCredit();
  }

  get #isCreditDue(): boolean {
    return this.#dueWindow >= WINDOW / 4 || this.#dueBulk > 0;
  }
}
