import { compare } from '../support/statistics.js';
import { ourRate, rate } from './one-way.js';
import { summary } from './round-trip.js';

/** Messages per second with a receipt each: numbered, kept until the receipt, in order. */
const acknowledgedRate = async (from, to, of) => {
  const [began, result] = await Promise.all([from.party.ask('burstAcknowledged', { to: to.address, ...of }), to.party.ask('result')]);
  return rate(result, began, result.ended);
};

/** Round trips between two programs, with receipts in both directions or in neither. */
const roundTrip = async (from, to, of) => {
  await to.party.ask('answer', of);
  const times = await from.party.ask('thereAndBack', { to: to.address, ...of });
  await Promise.all([from, to].map(({ party }) => party.ask('count')));
  return summary(times);
};

/** P13: the cost of numbering, keeping and acknowledging messages, against best effort between the same runtimes. */
export const measure = async (parties, { rounds, burstMs, roundTrips }) => {
  const domain = await parties.domain();
  const direct = await parties.runtimes(domain, {}, 'alice', 'bob');
  const relayed = await parties.runtimes(domain, { p2p: false }, 'carol', 'dave');
  const [alice, bob] = direct;
  await alice.party.ask('connect', bob.address);
  const rows = [];
  for (const [path, [from, to]] of [['P2P', direct], ['message node', relayed]]) {
    const of = { size: 100, ms: burstMs };
    await acknowledgedRate(from, to, { size: 100, ms: 200 });
    await ourRate(from, to, { size: 100, ms: 200 });
    const figures = await compare(rounds, () => acknowledgedRate(from, to, of), () => ourRate(from, to, of));
    rows.push({ what: `one way with receipts, ${path}, 100 B`, unit: 'msg/s', ...figures, goal: { least: 0.85 } });

    const trip = { size: 100, count: Math.ceil(roundTrips / 2) };
    await roundTrip(from, to, { ...trip, count: 200, receipts: true });
    const { p50 } = await compare(rounds, () => roundTrip(from, to, { ...trip, receipts: true }), () => roundTrip(from, to, { ...trip, receipts: false }));
    rows.push({ what: `round trip with receipts, ${path}, p50`, unit: 'ms', ...p50, goal: { added: 0.1 } });
  }
  return rows;
};
