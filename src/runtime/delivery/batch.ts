import { MAX_BATCH, MAX_DEPTH } from '../../protocol/index.js';
import type { Carrier } from './carrier.js';
import type { InFlight } from './in-flight.js';

/** Beyond this many bytes another batch begins: others' messages wait for no more than that. */
const MAX_BYTES = 32 * 1024;
/** How much deeper a body lies in a batch than alone. */
const DEEPER = 3;

/** Messages of one stream that leave together, as one. */
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

  /** Whether a message may follow those that are here. */
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

/** Whether a message is small and shallow enough to be one of many, and nobody on the way has to look into it. */
export const isBatchable = ({ bytes, message: { body } }: InFlight): boolean =>
  bytes <= MAX_BYTES / 2 && body?.via === undefined && !nestsBeyond(body, MAX_DEPTH - DEEPER);

const nestsBeyond = (value: unknown, depth: number): boolean => {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  if (depth < 0) return true;
  for (const key in value) if (nestsBeyond((value as Record<string, unknown>)[key], depth - 1)) return true;
  return false;
};

/**
 * Runs something when everything that is at hand has been handled: after the microtasks of this turn of the event loop,
 * before anything new is read.
 */
export const atEndOfTurn = (run: () => void): void => { queueMicrotask(() => { process.nextTick(run); }); };
