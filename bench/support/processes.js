import { readdirSync, readFileSync } from 'node:fs';

// What Linux tells of processes; elsewhere memory isn't measured.
const field = (file, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? NaN);

/** Resident memory of a process, in MiB. */
export const rss = (pid) => field(`/proc/${pid}/status`, 'VmRSS') / 1024;

/** Its memory, what it shares counted by its share, in MiB. */
export const pss = (pid) => field(`/proc/${pid}/smaps_rollup`, 'Pss') / 1024;

/** A process and all below it. */
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
