import { parentPort, workerData } from 'node:worker_threads';
import { play } from './history.js';
import type { Report, Task } from './player.js';

/** Shows the player that this thread still takes turns. */
const beat = (): void => {
  Atomics.add(workerData as Int32Array, 0, 1);
  if (isPlaying) setImmediate(beat);
};

const report = (what: Report): void => { parentPort?.postMessage(what); };
let isPlaying = false;
let rejected: readonly string[] = [];

// An unhandled rejection: in a runtime it would end the process.
process.on('unhandledRejection', (reason) => { rejected = [...rejected, `a rejection was not handled: ${reason instanceof Error ? reason.stack ?? reason.message : String(reason)}`]; });

parentPort?.on('message', ({ history, traced }: Task) => {
  rejected = [];
  isPlaying = true;
  beat();
  const onLine = traced ? (line: string): void => { report({ line }); } : undefined;
  play(history, onLine).finally(() => { isPlaying = false; }).then(
    (faults) => { report({ faults: [...rejected, ...faults] }); },
    (thrown: unknown) => { report({ faults: [`the history could not be played: ${thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown)}`] }); },
  );
});
