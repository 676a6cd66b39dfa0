import { closeSync, existsSync, fstatSync, openSync, readSync, watch } from 'node:fs';
import { ProtoflyError } from '../../protocol/index.js';
import type { Context } from '../context.js';
import { cell, printable } from '../io/table.js';

const CHUNK = 64 * 1024;
const LEVELS: Readonly<Record<number, string>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' };
const OWN: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'pid', 'hostname', 'v']);

type Entry = Readonly<Record<string, unknown>>;

/** Parses a log line. A line that isn't JSON, as in a crash report, becomes the message of an entry. */
const entryOf = (line: string): Entry => {
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry === 'object' && entry !== null && !Array.isArray(entry)) return entry as Entry;
  } catch {
    // Plain text.
  }
  return { msg: line };
};

/** Formats a log line for a person. */
const logLine = (line: string): string => {
  const entry = entryOf(line);
  if (entry['level'] === undefined) return printable(line);
  const { level, time, msg } = entry;
  const when = typeof time === 'number' ? new Date(time).toISOString() : typeof time === 'string' ? time : '-';
  const rest = Object.entries(entry).filter(([key]) => !OWN.has(key)).map(([key, value]) => `${key}=${cell(value)}`);
  return [when, (typeof level === 'number' ? LEVELS[level] ?? String(level) : cell(level)).padEnd(5), cell(msg), ...rest].join(' ');
};

/**
 * Reads the complete lines added to a file since the last call. Starts again at the beginning if the file has shrunk.
 */
class LineReader {
  readonly #handle: number;
  readonly #buffer = Buffer.alloc(CHUNK);
  #at = 0;
  #rest = Buffer.alloc(0);

  constructor(path: string) {
    this.#handle = openSync(path, 'r');
  }

  *read(): Generator<string[]> {
    if (fstatSync(this.#handle).size < this.#at) this.#at = 0;
    for (;;) {
      const size = readSync(this.#handle, this.#buffer, 0, CHUNK, this.#at);
      if (size === 0) return;
      this.#at += size;
      const all = Buffer.concat([this.#rest, this.#buffer.subarray(0, size)]);
      const last = all.lastIndexOf(0x0a);
      this.#rest = Buffer.from(all.subarray(last + 1));
      if (last >= 0) yield all.subarray(0, last).toString('utf8').split('\n');
    }
  }

  close(): void {
    closeSync(this.#handle);
  }
}

/**
 * Prints the runtime's log. With `follow`, also prints new lines until the user stops it.
 * @throws ProtoflyError `E_NOT_FOUND` if there is no log
 */
export const printLog = async (context: Context, follow: boolean): Promise<void> => {
  const { log } = context.places;
  if (!existsSync(log)) throw new ProtoflyError('E_NOT_FOUND', `there is no log at ${log}`, { hint: 'a runtime in the foreground logs to stderr' });
  const reader = new LineReader(log);
  const print = async (): Promise<void> => {
    for (const lines of reader.read()) await context.output.write(`${lines.map((line) => (context.output.json ? JSON.stringify(entryOf(line)) : logLine(line))).join('\n')}\n`);
  };
  try {
    await print();
    if (follow && !context.signal.aborted) await printChanges(context, log, print);
  } finally {
    reader.close();
  }
};

/** Prints new lines until the user stops it. @throws EPIPE if the reader of stdout has gone */
const printChanges = async (context: Context, log: string, print: () => Promise<void>): Promise<void> => {
  const watcher = watch(log);
  try {
    await context.output.whileRead(new Promise<void>((resolve, reject) => {
      let turn = Promise.resolve();
      watcher.on('change', () => { turn = turn.then(print).catch(reject); }).once('error', reject);
      context.signal.addEventListener('abort', () => { resolve(); }, { once: true });
    }));
  } finally {
    watcher.close();
  }
};
