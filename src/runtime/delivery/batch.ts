import { MAX_BATCH, MAX_DEPTH } from '../../protocol/index.js';
import type { Carrier } from './carrier.js';
import type { InFlight } from './in-flight.js';

/** Maximum size of a batch in bytes: it bounds how long messages of others wait behind it. */
const MAX_BYTES = 32 * 1024;
/** Additional nesting levels of a body in a batch. */
const DEEPER = 3;

/** Consecutive messages of one flow that are to leave as one. */
export class GatheredBatch {
  readonly carrier: Carrier;
  readonly #entries: InFlight[] = [];
  #bytes = 0;

  constructor(carrier: Carrier) {
    this.carrier = carrier;
  }

  get entries(): readonly InFlight[] {
    return this.#entries;
  }

  /** True if a message may be added behind the others. */
  takes({ seq, bytes, message }: InFlight, carrier: Carrier): boolean {
    const last = this.#entries.at(-1);
    if (last === undefined) return true;
    return carrier === this.carrier && seq === last.seq + 1 && message.type === last.message.type && this.#entries.length < MAX_BATCH && this.#bytes + bytes <= MAX_BYTES;
  }

  add(entry: InFlight): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
  }
}

/** True if a message may be part of a batch: it is small, not too deeply nested, and needs no inspection on its route. */
export const isBatchable = ({ bytes, message: { body } }: InFlight): boolean =>
  bytes <= MAX_BYTES / 2 && body?.via === undefined && !nestsBeyond(body, MAX_DEPTH - DEEPER);

const nestsBeyond = (value: unknown, depth: number): boolean => {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  if (depth < 0) return true;
  for (const key in value) if (nestsBeyond((value as Record<string, unknown>)[key], depth - 1)) return true;
  return false;
};

/** Runs a callback after the microtasks of this turn of the event loop, before new input is read. */
export const atEndOfTurn = (run: () => void): void => { queueMicrotask(() => { process.nextTick(run); }); };
