import { setTimeout as delay } from 'node:timers/promises';
import { inTurns, median, quantile } from '../support/statistics.js';

/** Time for clearing away a connection that has ended, in milliseconds. */
const CLEAR_MS = 50;

/**
 * P3: time to set up a connection, again and again, against raw peers that signal over a pipe. Each turn ends
 * with the tear-down, which isn't timed.
 */
export const measure = async (parties, { setUps }) => {
  const raw = parties.start('raw-offerer');
  const [alice, bob] = await parties.runtimes(await parties.domain(), {}, 'alice', 'bob');
  const ours = async () => {
    const took = await alice.party.ask('connect', bob.address);
    await alice.party.ask('disconnect', bob.address);
    await Promise.all([alice.party.ask('idle'), bob.party.ask('idle')]);
    await delay(CLEAR_MS);
    return took;
  };
  const reference = async () => {
    const took = await raw.ask('connect');
    await raw.ask('disconnect');
    await delay(CLEAR_MS);
    return took;
  };
  const pairs = await inTurns(setUps, ours, reference);
  const row = (what, pick, most, pickReference = pick) => {
    const figures = { ours: pick(pairs.map((pair) => pair.ours)), reference: pickReference(pairs.map((pair) => pair.reference)) };
    return { what: `P2P set-up, ${what} of ${setUps}`, unit: 'ms', ...figures, ratio: figures.ours / figures.reference, ...(most === undefined ? {} : { goal: { most } }) };
  };
  return [
    // The reference's times are in two groups, a second apart, and its median falls into either.
    row('p50 against the reference\'s p25', median, 2, (times) => quantile(times, 0.25)),
    row('p95', (times) => quantile(times, 0.95)),
    row('longest', (times) => Math.max(...times), 0.2),
  ];
};
