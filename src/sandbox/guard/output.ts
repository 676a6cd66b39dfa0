import type { Readable } from 'node:stream';
import type { Clock, StubSandbox } from '../../protocol/index.js';
import { LogLimit } from '../contract/log-limit.js';

/** Length to which an unfinished line is cut. */
const LONGEST = 4000;
/** Pause in reading after too much output, in milliseconds. */
const PAUSE_MS = 100;
const LEVEL = /^(debug|info|warn) (.*)$/s;

/** Logs the output of a sandbox process line by line. The cost is bounded: above the rate limit, reading pauses. */
export const logOutput = (stream: Readable, { clock, write }: { readonly clock: Clock; readonly write: StubSandbox['log'] }, onLine: (line: string) => void): void => {
  // The process limits itself to half of this. Only a process that broke out of its limits reaches these.
  const limit = new LogLimit({ clock, write }, { linesPerSecond: 40, burst: 200 });
  let partial = '';
  const tell = (line: string): boolean => {
    onLine(line);
    const [, level = 'info', text = line] = LEVEL.exec(line) ?? [];
    return line === '' || limit.log(level as 'debug' | 'info' | 'warn', text);
  };
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (partial + chunk).split('\n');
    partial = (lines.pop() ?? '').slice(0, LONGEST);
    const passed = lines.map(tell);
    if (!passed.includes(false)) return;
    stream.pause();
    clock.setTimeout(() => { stream.resume(); }, PAUSE_MS);
  }).on('end', () => { if (partial !== '') tell(partial); })
    .on('error', (error: Error) => { tell(`its output can't be read: ${error.message}`); });
};
