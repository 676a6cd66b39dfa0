import { pino, type Logger } from 'pino';
import type { Log } from '../runtime/index.js';

/** A daemon's log: to its file, or to stderr in the foreground; one JSON object a line. */
export const openLog = (file: string | undefined, level = 'info'): { readonly log: Log; readonly logger: Logger } => {
  const logger = pino({ level, base: { pid: process.pid } }, pino.destination({ dest: file ?? 2, mkdir: true, sync: true }));
  return { logger, log: (at, text) => { logger[at](text); } };
};
