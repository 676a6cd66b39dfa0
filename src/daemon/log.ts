import { pino, type Logger } from 'pino';
import type { Log } from '../runtime/index.js';

interface Line {
  readonly level: number;
  readonly time: number;
  readonly msg?: string;
  readonly err?: { readonly message?: string };
}

/** A line of the log as a person reads it: time, what is out of the ordinary, text. */
const readable = (line: string): string => {
  const { level, time, msg = '', err } = JSON.parse(line) as Line;
  const clock = new Date(time).toLocaleTimeString(undefined, { hour12: false });
  return `${clock}  ${level >= 40 ? 'warning: ' : ''}${msg}${err?.message === undefined || err.message === msg ? '' : ` (${err.message})`}\n`;
};

/** A daemon's log: JSON, one object a line, to its file or to stderr; for a person where stderr is a terminal. */
export const openLog = (file: string | undefined, level = 'info'): { readonly log: Log; readonly logger: Logger } => {
  const target = file === undefined && process.stderr.isTTY
    ? { write: (line: string): void => { process.stderr.write(readable(line)); } }
    : pino.destination({ dest: file ?? 2, mkdir: true, sync: true });
  const logger = pino({ level, base: { pid: process.pid } }, target);
  return { logger, log: (at, text) => { logger[at](text); } };
};
