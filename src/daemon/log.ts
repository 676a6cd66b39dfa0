import { pino, type DestinationStream, type Logger } from 'pino';
import type { Log } from '../runtime/index.js';
import { LogFile } from './log-file.js';

interface Line {
  readonly level: number;
  readonly time: number;
  readonly msg?: string;
  readonly err?: { readonly message?: string };
}

/** Formats a log line for a person: time, a mark for warnings and errors, text. */
const readable = (line: string): string => {
  const { level, time, msg = '', err } = JSON.parse(line) as Line;
  const clock = new Date(time).toLocaleTimeString(undefined, { hour12: false });
  return `${clock}  ${level >= 40 ? 'warning: ' : ''}${msg}${err?.message === undefined || err.message === msg ? '' : ` (${err.message})`}\n`;
};

/**
 * Opens a daemon's log: one JSON object per line, to its file or to stderr. If stderr is a terminal, lines are
 * formatted for a person. Never throws: if the file can't be opened, the error and the log go to stderr.
 */
export const openLog = (file: string | undefined, level = 'info'): { readonly log: Log; readonly logger: Logger } => {
  const onMissing = (lines: number): void => { logger.warn(`${String(lines)} lines are missing here: there was no room for them`); };
  const logger: Logger = pino({ level, base: { pid: process.pid } }, targetFor(file, onMissing));
  return { logger, log: (at, text) => { logger[at](text); } };
};

const targetFor = (file: string | undefined, onMissing: (lines: number) => void): DestinationStream => {
  if (file === undefined) return process.stderr.isTTY ? { write: (line) => { process.stderr.write(readable(line)); } } : new LogFile({ target: 2, onMissing });
  try {
    return new LogFile({ target: file, onMissing });
  } catch (thrown) {
    process.stderr.write(`${file} can't be written: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
    return new LogFile({ target: 2, onMissing });
  }
};
