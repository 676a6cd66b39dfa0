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
