import { Acts, perform, type Act } from './acts.js';
import { check } from './check.js';
import { heal } from './heal.js';
import { PLAIN, type Settings } from './settings.js';
import { World } from './world.js';

/** A world, and the acts in it. */
export interface History {
  readonly settings: Settings;
  readonly acts: readonly Act[];
}

/**
 * Plays a history to its end: everything has been repaired and has had its time.
 * @param onLine called with each line of the trace as it happens
 * @returns the broken promises
 */
export const play = async ({ settings, acts }: History, onLine?: (line: string) => void): Promise<readonly string[]> => {
  const world = new World(settings, onLine);
  const { ledger } = world;
  const able = new Acts(world);
  for (const act of acts) {
    ledger.note(() => `— ${JSON.stringify(act)}`);
    await perform(able, act);
    await world.turn();
    if (world.isStuck) break;
  }
  const faults = check(world, await heal(world));
  world.end();
  return faults;
};

/** Formats a history so that it can be read, and pasted into a test. */
export const describe = ({ settings, acts }: History): string => {
  const others = Object.fromEntries(Object.entries(settings).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(PLAIN[key as keyof Settings])));
  return [`settings ${JSON.stringify(others)}`, ...acts.map((act) => `  ${JSON.stringify(act)},`)].join('\n');
};
