import type { ChildProcess } from 'node:child_process';
import { finished } from 'node:stream';
import type { Clock } from '../../protocol/index.js';

/** What Node prints last when the JavaScript heap is full. There is no other sign of it. */
const HEAP_FULL = /^FATAL ERROR: .*heap out of memory/;
/** How long the last of a process's output may take, in milliseconds. */
const LAST_WORDS_MS = 500;

const wordsOf = (code: number | null, signal: string | null, heapFull: boolean): string => {
  if (heapFull) return 'ran out of memory';
  if (signal !== null) return `the process was ended by ${signal}`;
  return code === 1 ? 'the process ended after an error that nobody handled' : `the process exited with code ${String(code)}`;
};

/**
 * How a process ended, in words.
 * `onLine` is to be told what the process prints on its standard error.
 */
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
