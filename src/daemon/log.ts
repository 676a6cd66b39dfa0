import { pino, type DestinationStream, type Logger } from 'pino';
import type { Log } from '../runtime/index.js';

interface Line {
  readonly level: number;
  readonly time: number;
  readonly msg?: string;
  readonly err?: { readonly message?: string };
}

/** How much may wait for room on the log's disk, in bytes. What comes then is counted instead. */
const MAX_WAITING = 256 * 1024;

/** A line of the log as a person reads it: time, what is out of the ordinary, text. */
const readable = (line: string): string => {
  const { level, time, msg = '', err } = JSON.parse(line) as Line;
  const clock = new Date(time).toLocaleTimeString(undefined, { hour12: false });
  return `${clock}  ${level >= 40 ? 'warning: ' : ''}${msg}${err?.message === undefined || err.message === msg ? '' : ` (${err.message})`}\n`;
};

/**
 * Writes lines to a file, or to stderr. What can't be written, because the disk is full, waits; the process goes on.
 * @param onMissing so many lines found no place to wait; called when what waited is written
 */
const toFile = (file: string | number, onMissing: (lines: number) => void): DestinationStream => {
  const target = pino.destination({ dest: file, mkdir: true, sync: true, maxLength: MAX_WAITING });
  let missing = 0;
  target.on('error', () => undefined);
  target.on('drop', () => { missing += 1; });
  target.on('drain', () => {
    const lines = missing;
    missing = 0;
    if (lines > 0) onMissing(lines);
  });
  return target;
};

/**
 * A daemon's log: JSON, one object a line, to its file or to stderr; for a person where stderr is a terminal. A log that
 * can't be written ends nothing: a file that can't be opened is told on stderr, and so is what was meant for it.
 */
export const openLog = (file: string | undefined, level = 'info'): { readonly log: Log; readonly logger: Logger } => {
  const onMissing = (lines: number): void => { logger.warn(`${String(lines)} lines are missing here: there was no room for them`); };
  const logger: Logger = pino({ level, base: { pid: process.pid } }, targetFor(file, onMissing));
  return { logger, log: (at, text) => { logger[at](text); } };
};

const targetFor = (file: string | undefined, onMissing: (lines: number) => void): DestinationStream => {
  if (file === undefined) return process.stderr.isTTY ? { write: (line) => { process.stderr.write(readable(line)); } } : toFile(2, onMissing);
  try {
    return toFile(file, onMissing);
  } catch (thrown) {
    process.stderr.write(`${file} can't be written: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
    return toFile(2, onMissing);
  }
};
