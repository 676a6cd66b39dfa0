import { styleText } from 'node:util';
import { watchReader } from '../../link/pipe/reader.js';
import { accepted, LineWriter, type OutputStream } from './lines.js';
import { fieldLines, tableLines, type Column, type Style } from './table.js';

export interface OutputComponents {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
}

export interface OutputInit {
  readonly json: boolean;
  /** True to suppress notes and progress. Always true without a terminal. */
  readonly quiet: boolean;
  /** True if stdout supports colour. */
  readonly colour: boolean;
}

const plain: Style = (text) => text;
const bold: Style = (text) => styleText('bold', text);

/**
 * Writes to stdout and stderr: results to stdout, notes and progress to stderr. Methods that print a result resolve
 * when stdout has accepted it.
 */
export class Output {
  readonly json: boolean;
  readonly #stdout: OutputComponents['stdout'];
  readonly #stderr: OutputComponents['stderr'];
  readonly #quiet: boolean;
  readonly #heading: Style;
  #progress = false;
  #lines: LineWriter | undefined;

  constructor({ stdout, stderr }: OutputComponents, { json, quiet, colour }: OutputInit) {
    this.json = json;
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#quiet = quiet;
    this.#heading = colour ? bold : plain;
  }

  /**
   * Writes text to stdout.
   * @returns resolves when stdout has accepted it; rejects with EPIPE if its reader has gone, else with `E_PLATFORM`
   */
  write(text: string): Promise<void> {
    this.clearProgress();
    return accepted(this.#stdout, text);
  }

  /** Writes lines to stdout, each including its line end, and reports how many were accepted. @see LineWriter.write */
  lines(lines: readonly string[]): AsyncIterable<number> {
    this.clearProgress();
    this.#lines ??= new LineWriter(this.#stdout);
    return this.#lines.write(lines);
  }

  /**
   * Waits for work whose output is only useful while stdout has a reader.
   * @throws the error of the work; EPIPE if the reader of stdout has gone, even when nothing is written
   * (`watchReader`)
   */
  async whileRead<T>(work: Promise<T>): Promise<T> {
    let stop = (): void => undefined;
    const left = new Promise<never>((_, reject) => {
      stop = watchReader(this.#stdout, () => { reject(Object.assign(new Error('the reader of stdout has gone'), { code: 'EPIPE' })); });
    });
    try {
      return await Promise.race([work, left]);
    } finally {
      stop();
    }
  }

  /** Prints one line of a streaming command: one JSON document, or the text for a person. */
  line(value: unknown, human: () => string): Promise<void> {
    return this.write(`${this.json ? JSON.stringify(value) : human()}\n`);
  }

  /** Prints the result of a command: one JSON document, or lines for a person. */
  async result(value: unknown, human: () => string | readonly string[]): Promise<void> {
    if (this.json) { await this.write(`${JSON.stringify(value, undefined, 2)}\n`); return; }
    const text = human();
    const lines = typeof text === 'string' ? [text] : text;
    if (lines.length > 0) await this.write(`${lines.join('\n')}\n`);
  }

  /** Prints a list as a table. An empty list is a note, so that stdout stays empty. */
  async list<Row>(rows: readonly Row[], columns: readonly Column<Row>[], none: string): Promise<void> {
    if (rows.length === 0 && !this.json) this.note(none);
    await this.result(rows, () => (rows.length === 0 ? [] : tableLines(rows, columns, this.#heading)));
  }

  /** Prints the fields of one object, one per line. */
  async fields(value: unknown, fields: Readonly<Record<string, unknown>>): Promise<void> {
    await this.result(value, () => fieldLines(fields, this.#heading));
  }

  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[] {
    return tableLines(rows, columns, this.#heading);
  }

  title(text: string): string {
    return this.#heading(text);
  }

  /** Prints useful information that isn't the result. */
  note(text: string): void {
    if (this.json) return;
    this.clearProgress();
    this.#stderr.write(`${text}\n`);
  }

  /** Shows progress on one line, which the next call replaces. Only on a terminal. */
  progress(text: string): void {
    if (this.#quiet || this.json) return;
    this.#progress = true;
    this.#stderr.write(`\r\u001b[2K${text}`);
  }

  clearProgress(): void {
    if (!this.#progress) return;
    this.#progress = false;
    this.#stderr.write('\r\u001b[2K');
  }
}
