import { MAX_MESSAGE_BYTES, ProtoflyError } from '../../protocol/index.js';

export interface StreamEvent {
  readonly id: number | undefined;
  readonly data: string;
}

/** Parses an event stream (`text/event-stream`) chunk by chunk. Ignores comments, and fields other than `id` and `data`. */
export class EventLines {
  #parts: string[] = [];
  #size = 0;
  #id: number | undefined;
  #data: string | undefined;

  /** @throws ProtoflyError `E_TOO_LARGE` for an endless line or event */
  *feed(chunk: string): Generator<StreamEvent> {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      const last = chunk.slice(start, end);
      const line = this.#parts.length === 0 ? last : this.#parts.join('') + last;
      this.#parts = [];
      this.#size = 0;
      start = end + 1;
      const event = this.#line(line.endsWith('\r') ? line.slice(0, -1) : line);
      if (event !== undefined) yield event;
    }
    if (start === chunk.length) return;
    this.#parts.push(start === 0 ? chunk : chunk.slice(start));
    this.#size += chunk.length - start;
    if (this.#size > MAX_MESSAGE_BYTES + 16) throw new ProtoflyError('E_TOO_LARGE', 'the message node sent a line without an end');
  }

  #line(line: string): StreamEvent | undefined {
    if (line === '') {
      const event = this.#data === undefined ? undefined : { id: this.#id, data: this.#data };
      this.#id = this.#data = undefined;
      return event;
    }
    const value = (name: string): string => (line[name.length + 1] === ' ' ? line.slice(name.length + 2) : line.slice(name.length + 1));
    if (line.startsWith('data:')) {
      this.#data = this.#data === undefined ? value('data') : `${this.#data}\n${value('data')}`;
      if (this.#data.length > MAX_MESSAGE_BYTES) throw new ProtoflyError('E_TOO_LARGE', 'the message node sent an event without an end');
    } else if (line.startsWith('id:')) {
      this.#id = numberOf(value('id'));
    }
    return undefined;
  }
}

/** Parses a message number from a header or an event. */
export const numberOf = (text: string | null): number | undefined => {
  const number = text !== null && /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(number) ? number : undefined;
};
