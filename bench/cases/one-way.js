import { compare } from '../support/statistics.js';

const SIZES = [
  { size: 100, label: '100 B', least: 2 },
  { size: 1024, label: '1 KiB', least: 1.1 },
  { size: 16 * 1024, label: '16 KiB', least: 0.95 },
];

export const rate = ({ count }, began, ended) => count / ((ended - began) / 1000);

/** Messages per second from one hyperty to the other. */
export const ourRate = async (from, to, of) => {
  const [began, result] = await Promise.all([from.party.ask('burst', { to: to.address, ...of }), to.party.ask('result')]);
  return rate(result, began, result.ended);
};

export const rawRate = async (raw, of) => {
  const result = await raw.ask('burst', of);
  return rate(result, result.began, result.ended);
};

/** Starts two hyperties with a live connection between their runtimes, and a raw channel. */
export const connected = async (parties) => {
  const raw = parties.start('raw-offerer');
  const [alice, bob] = await parties.runtimes(await parties.domain(), {}, 'alice', 'bob');
  await Promise.all([alice.party.ask('connect', bob.address), raw.ask('connect')]);
  return { alice, bob, raw };
};

/** P1: one way, hyperty to hyperty, against a raw data channel. */
export const measure = async (parties, { rounds, burstMs }) => {
  const { alice, bob, raw } = await connected(parties);
  const rows = [];
  for (const { size, label, least } of SIZES) {
    // The first burst warms both up.
    const of = { size, ms: burstMs };
    await Promise.all([ourRate(alice, bob, { size, ms: 200 }), rawRate(raw, { size, ms: 200 })]);
    const figures = await compare(rounds, () => ourRate(alice, bob, of), () => rawRate(raw, of));
    rows.push({ what: `one way, P2P, ${label}`, unit: 'msg/s', ...figures, goal: { least } });
  }
  return rows;
};
