import { compare } from '../support/statistics.js';
import { acknowledgedBurst, burstRow, ourBurst } from './one-way.js';
import { summary } from './round-trip.js';

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
    await acknowledgedBurst(from, to, { size: 100, ms: 200 });
    await ourBurst(from, to, { size: 100, ms: 200 });
    const { rate, cpu } = await compare(rounds, () => acknowledgedBurst(from, to, of), () => ourBurst(from, to, of));
    // The time of a message node isn't in the figure.
    rows.push(burstRow(`one way with receipts, ${path}, 100 B`, path === 'P2P' ? { rate, cpu } : { rate }, 0.9));

    const trip = { size: 100, count: Math.ceil(roundTrips / 2) };
    await roundTrip(from, to, { ...trip, count: 200, receipts: true });
    const { p50 } = await compare(rounds, () => roundTrip(from, to, { ...trip, receipts: true }), () => roundTrip(from, to, { ...trip, receipts: false }));
    rows.push({ what: `round trip with receipts, ${path}, p50`, unit: 'ms', ...p50, goal: { added: 0.1 } });
  }
  return rows;
};
