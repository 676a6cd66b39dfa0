import { ProtoflyError, type Address, type DataChange, type DataObserver, type DataReporter } from '../../../protocol/index.js';
import { applyChange, type Change, type DataObject } from '../../../protocol/data-object.js';
import { checkWritable } from '../../../protocol/data-object-messages.js';

/** The reporter's handle on its object. */
export class Report implements DataReporter {
  readonly url: Address;
  readonly #events: { readonly onChange: (change: Change) => void; readonly onDelete: () => Promise<void> };
  #object: DataObject;
  #ended = false;
  #deleting: Promise<void> | undefined;

  constructor(url: Address, object: DataObject, events: { readonly onChange: (change: Change) => void; readonly onDelete: () => Promise<void> }) {
    this.url = url;
    this.#object = object;
    this.#events = events;
  }

  get data(): Readonly<Record<string, unknown>> {
    return this.#object.data;
  }

  /** @throws ProtoflyError `E_MESSAGE`, `E_TOO_LARGE` for a bad change, `E_NOT_FOUND` if the object was deleted */
  update(change: Change): void {
    if (this.#ended) throw new ProtoflyError('E_NOT_FOUND', `${this.url} was deleted`);
    checkWritable(change);
    this.#object = applyChange(this.#object, change);
    this.#events.onChange(change);
  }

  /** Idempotent. */
  delete(): Promise<void> {
    if (this.#deleting === undefined) {
      this.#deleting = this.#ended ? Promise.resolve() : this.#events.onDelete();
      this.#ended = true;
    }
    return this.#deleting;
  }

  /** Marks the object as deleted elsewhere. */
  end(): void {
    this.#ended = true;
  }
}

interface Reader {
  readonly changes: ((change: DataChange) => void)[];
  readonly deletions: (() => void)[];
}

export interface ObservationEvents {
  /** The last handle was closed. */
  readonly onUnused: () => void;
  /** A listener threw. */
  readonly onFailure: (thrown: unknown) => void;
}

/** A client's copy of an object, and the handles on it. */
export class Observation {
  readonly #url: Address;
  readonly #events: ObservationEvents;
  readonly #readers = new Set<Reader>();
  #object: DataObject;
  #ended = false;

  constructor(url: Address, object: DataObject, events: ObservationEvents) {
    this.#url = url;
    this.#object = object;
    this.#events = events;
  }

  /**
   * Opens another handle. Its `data` already includes changes that come before its first `onChange`. A caller
   * that reads `data` and calls `onChange` in one turn misses no change.
   */
  open(): DataObserver {
    const reader: Reader = { changes: [], deletions: [] };
    this.#readers.add(reader);
    const data = (): Readonly<Record<string, unknown>> => this.#object.data;
    return {
      url: this.#url,
      get data() { return data(); },
      onChange: (listener) => { reader.changes.push(listener); },
      onDelete: (listener) => {
        if (this.#ended && this.#readers.has(reader)) queueMicrotask(() => { this.#call(listener); });
        else reader.deletions.push(listener);
      },
      unsubscribe: () => {
        if (this.#readers.delete(reader) && this.#readers.size === 0 && !this.#ended) this.#events.onUnused();
      },
    };
  }

  /** @throws ProtoflyError if the change doesn't fit */
  change(change: DataChange): void {
    this.#object = applyChange(this.#object, change);
    for (const { changes } of [...this.#readers]) for (const listener of changes) this.#call(() => { listener(change); });
  }

  /** Calls the deletion listeners, because the object was deleted. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const { deletions } of [...this.#readers]) for (const listener of deletions) this.#call(listener);
  }

  /** Ends all handles without calling listeners, because the client closes. */
  close(): void {
    this.#ended = true;
    this.#readers.clear();
  }

  #call(listener: () => void): void {
    try {
      listener();
    } catch (thrown) {
      this.#events.onFailure(thrown);
    }
  }
}
