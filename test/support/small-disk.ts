import './bare-children.js';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A mount namespace of its own: nothing outside sees the disk, and nothing of it is left behind. */
const UNSHARE = ['--mount', '--propagation', 'private', ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'])];
const PAGE = 4096;

/** Returns the reason to skip tests that need a disk of their own, or false. */
export const withoutSmallDisk = (): string | false => {
  if (process.platform !== 'linux') return 'mount namespaces need Linux';
  const { error, status, stderr } = spawnSync('unshare', [...UNSHARE, 'mount', '-t', 'tmpfs', 'none', '/mnt'], { encoding: 'utf8' });
  return error === undefined && status === 0 ? false : `a tmpfs can't be mounted here: ${error?.message ?? stderr.trim()}`;
};

export interface SmallDisk {
  readonly path: string;
  /** Fills the disk, except for `left` bytes. */
  fill(left?: number): void;
  /** Removes the filler. */
  free(): void;
}

/** Mounts a tmpfs of some MiB; removed after the test. */
export const smallDisk = async (t: Test, mebibytes: number): Promise<SmallDisk> => {
  const folder = mkdtempSync(join(tmpdir(), 'pd-'));
  const script = 'mount -t tmpfs -o "size=$1m" none "$0" && chmod 700 "$0" && echo mounted && exec cat';
  const holder = spawn('unshare', [...UNSHARE, 'sh', '-c', script, folder, String(mebibytes)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise<void>((resolve) => { holder.once('close', () => { resolve(); }); });
  t.teardown(async () => {
    holder.stdin.end();
    await gone;
    rmSync(folder, { recursive: true, force: true });
  });
  await Promise.race([
    new Promise((resolve) => { holder.stdout.once('data', resolve); }),
    gone.then(() => { throw new Error('the disk was not mounted'); }),
  ]);
  const path = `/proc/${String(holder.pid)}/root${folder}`;
  const filler = join(path, 'filler');
  return {
    path,
    fill: (left = 0) => {
      const handle = openSync(filler, 'a');
      try {
        for (let free = freeBytes(path); free > left; free = freeBytes(path)) writeSync(handle, Buffer.alloc(Math.min(Math.max(free - left, PAGE), 64 * 1024)));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown;
      } finally {
        closeSync(handle);
      }
    },
    free: () => { rmSync(filler, { force: true }); },
  };
};

const freeBytes = (path: string): number => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};
