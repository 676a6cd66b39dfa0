import { compare, median, quantile } from '../support/statistics.js';
import { connected } from './one-way.js';

export const summary = (times) => ({ p50: median(times), p99: quantile(times, 0.99) });

/** P2: a request and its response, one in flight, against a raw data channel that echoes. */
export const measure = async (parties, { rounds, roundTrips }) => {
  const { alice, bob, raw } = await connected(parties);
  const of = { size: 100, count: roundTrips };
  const ours = async (count = of.count) => summary(await alice.party.ask('roundTrips', { to: bob.address, ...of, count }));
  const reference = async (count = of.count) => summary(await raw.ask('roundTrips', { ...of, count }));
  await Promise.all([ours(2000), reference(2000)]);
  const { p50, p99 } = await compare(rounds, () => ours(), () => reference());
  return [
    { what: 'round trip, P2P, 100 B, p50', unit: 'ms', ...p50, goal: { most: 2 } },
    { what: 'round trip, P2P, 100 B, p99', unit: 'ms', ...p99, goal: { most: 2.5 } },
  ];
};
