import { readFileSync } from 'node:fs';

/** Microseconds of one tick in /proc. */
const TICK_US = 10_000;

/** Returns a process and those that it started. */
const family = (pid) => [pid, ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).flatMap((child) => family(Number(child)))];

/** Returns user and system time of processes and those that they started, in microseconds; NaN if they can't be read. */
export const cpuOf = (pids) => {
  try {
    // The name of a process, in parentheses, may have spaces.
    const times = pids.flatMap(family).map((pid) => readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' '));
    return times.reduce((sum, fields) => sum + (Number(fields[11]) + Number(fields[12])) * TICK_US, 0);
  } catch {
    return NaN;
  }
};
