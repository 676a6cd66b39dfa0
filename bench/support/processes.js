import { readdirSync, readFileSync } from 'node:fs';

// Process figures from Linux; on other systems memory isn't measured.
const field = (file, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? NaN);

/** Returns the resident memory of a process, in MiB. */
export const rss = (pid) => field(`/proc/${pid}/status`, 'VmRSS') / 1024;

/** Returns the memory of a process in MiB, with its share of shared memory. */
export const pss = (pid) => field(`/proc/${pid}/smaps_rollup`, 'Pss') / 1024;

/** Returns a process and all its descendants. */
export const family = (pid) => {
  const parents = new Map(readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      return [[Number(name), field(`/proc/${name}/status`, 'PPid')]];
    } catch {
      return [];
    }
  }));
  const found = [pid];
  for (const each of found) for (const [child, parent] of parents) if (parent === each) found.push(child);
  return found;
};

export const sum = (pids, measure) => pids.reduce((total, pid) => total + measure(pid), 0);

/** Resolves when a process has ended with 0. @throws for any other end */
export const ended = (child, what) => new Promise((resolve, reject) => {
  child.once('error', reject).once('close', (code) => { if (code === 0) resolve(); else reject(new Error(`${what} ended with ${code}`)); });
});

/** Microseconds of one tick in /proc. */
const TICK_US = 10_000;

/** Returns user and system time of processes and all their descendants, in microseconds; NaN if they can't be read. */
export const cpuOf = (pids) => {
  try {
    // The name of a process, in parentheses, may have spaces.
    const times = pids.flatMap(family).map((pid) => readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' '));
    return times.reduce((sum, fields) => sum + (Number(fields[11]) + Number(fields[12])) * TICK_US, 0);
  } catch {
    return NaN;
  }
};
