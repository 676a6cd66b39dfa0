import type { ChildProcess } from 'node:child_process';
import { finished } from 'node:stream';
import type { Clock } from '../../protocol/index.js';

/** Node's last output when the JavaScript heap is full. There is no other sign of it. */
const HEAP_FULL = /^FATAL ERROR: .*heap out of memory/;
/** Maximum wait for the last of a process's output, in milliseconds. */
const LAST_WORDS_MS = 500;

const wordsOf = (code: number | null, signal: string | null, heapFull: boolean): string => {
  if (heapFull) return 'ran out of memory';
  if (signal !== null) return `the process was ended by ${signal}`;
  return code === 1 ? 'the process ended after an error that nobody handled' : `the process exited with code ${String(code)}`;
};

/** Describes how a process ended. Call `onLine` with each line of its standard error. */
export const exitOf = (child: ChildProcess, clock: Clock): { readonly words: Promise<string>; readonly onLine: (line: string) => void } => {
  let heapFull = false;
  const words = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      const done = (): void => {
        timer.cancel();
        resolve(wordsOf(code, signal, heapFull));
      };
      const timer = clock.setTimeout(done, LAST_WORDS_MS);
      if (child.stderr === null) done();
      else finished(child.stderr, done);
    });
  });
  return { words, onLine: (line) => { heapFull ||= HEAP_FULL.test(line); } };
};
