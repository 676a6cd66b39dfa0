const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

/**
 * Finds the end of each JSON document in a text that arrives in pieces. It only counts brackets outside strings;
 * validating the JSON is up to the parser.
 */
export class DocumentScanner {
  #text = '';
  /** Position up to which `#text` has been scanned. */
  #at = 0;
  #start = -1;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** The length of the incomplete document, in UTF-16 code units. */
  get size(): number {
    return this.#text.length;
  }

  /** Adds a piece of text. @returns the documents that are now complete */
  add(piece: string): string[] {
    this.#text += piece;
    const found: string[] = [];
    for (; this.#at < this.#text.length; this.#at++) this.#look(this.#text.charCodeAt(this.#at), found);
    const keep = this.#start < 0 ? this.#text.length : this.#start;
    this.#text = this.#text.slice(keep);
    this.#at -= keep;
    if (this.#start >= 0) this.#start = 0;
    return found;
  }

  /** Ends the stream. @returns the last documents, including an incomplete rest */
  end(piece: string): string[] {
    const found = this.add(piece);
    const rest = this.#text.trim();
    return rest === '' ? found : [...found, rest];
  }

  #look(code: number, found: string[]): void {
    if (this.#inString) { this.#lookInString(code, found); return; }
    if (this.#start < 0) {
      if (isSpace(code)) return;
      this.#start = this.#at;
    }
    if (code === 0x22) {
      if (this.#depth === 0 && this.#start < this.#at) this.#finish(this.#at, found, this.#at);
      this.#inString = true;
    } else if (code === 0x7b || code === 0x5b) {
      if (this.#depth === 0 && this.#start < this.#at) this.#finish(this.#at, found, this.#at);
      this.#depth += 1;
    } else if (code === 0x7d || code === 0x5d) {
      this.#depth -= 1;
      if (this.#depth <= 0) this.#finish(this.#at + 1, found);
    } else if (this.#depth === 0 && isSpace(code)) {
      this.#finish(this.#at, found);
    }
  }

  #lookInString(code: number, found: string[]): void {
    if (this.#escaped) this.#escaped = false;
    else if (code === 0x5c) this.#escaped = true;
    else if (code === 0x22) {
      this.#inString = false;
      if (this.#depth === 0) this.#finish(this.#at + 1, found);
    }
  }

  #finish(end: number, found: string[], next = -1): void {
    found.push(this.#text.slice(this.#start, end));
    this.#start = next;
    this.#depth = 0;
  }
}
