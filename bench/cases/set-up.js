import { median, quantile } from '../support/statistics.js';

/** P3: from wanting a connection to having it, again and again, against raw peers that signal over a pipe. */
export const measure = async (parties, { setUps }) => {
  const raw = parties.start('raw-offerer');
  const [alice, bob] = await parties.runtimes(await parties.domain(), {}, 'alice', 'bob');
  const ours = [];
  const reference = [];
  for (let i = 0; i < setUps; i++) {
    ours.push(await alice.party.ask('connect', bob.address));
    await alice.party.ask('disconnect', bob.address);
    await Promise.all([alice.party.ask('idle'), bob.party.ask('idle')]);
    reference.push(await raw.ask('connect'));
  }
  const row = (what, pick, most) => ({ what: `P2P set-up, ${what} of ${setUps}`, unit: 'ms', ours: pick(ours), reference: pick(reference), ratio: pick(ours) / pick(reference), ...(most === undefined ? {} : { goal: { most } }) });
  return [
    row('p50', median, 0.5),
    row('p95', (times) => quantile(times, 0.95)),
    row('longest', (times) => Math.max(...times), 0.2),
  ];
};
