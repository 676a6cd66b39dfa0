import { compare } from '../support/statistics.js';
import { ourRate } from './one-way.js';
import { summary } from './round-trip.js';

/** Starts two plain JSON clients, as parties with addresses. */
const jsonClients = (parties, url, kind) => Promise.all(['a', 'b'].map(async (name) => {
  const party = parties.start('json-client');
  return { party, address: await party.ask('open', { url, address: `hyperty-runtime://localhost/${kind}-${name}` }) };
}));

const roundTrip = async ([from, to], count) => summary(await from.party.ask('roundTrips', { to: to.address, size: 100, count }));

/**
 * P4: through the message node, against a relay that only parses `to`. The goal for our stub is the figure of
 * NATS with its own client, which isn't measured here: it was 5.3 times that of such a relay on two cores.
 */
export const measure = async (parties, { rounds, burstMs, roundTrips }) => {
  const domain = await parties.domain();
  const relay = await parties.start('relay').ask('start');
  const [relayed, plain, ours] = await Promise.all([
    jsonClients(parties, relay, 'relayed'),
    jsonClients(parties, domain.replace(/^http/, 'ws') + '/ws', 'plain'),
    parties.runtimes(domain, { p2p: false }, 'alice', 'bob'),
  ]);
  const oneWay = async (pair, size, label, goal) => {
    const of = { size, ms: burstMs };
    await Promise.all([pair, relayed].map(([from, to]) => ourRate(from, to, { size, ms: 200 })));
    const figures = await compare(rounds, () => ourRate(...pair, of), () => ourRate(...relayed, of));
    return { what: `one way, message node, ${label}`, unit: 'msg/s', ...figures, ...(goal === undefined ? {} : { goal }) };
  };
  const rows = [
    await oneWay(ours, 100, 'our stub, 100 B', { least: 5.3 }),
    await oneWay(ours, 16 * 1024, 'our stub, 16 KiB'),
    await oneWay(plain, 100, 'plain JSON, 100 B', { least: 0.9 }),
  ];
  await Promise.all([roundTrip(ours, 200), roundTrip(relayed, 200)]);
  const { p50, p99 } = await compare(rounds, () => roundTrip(ours, roundTrips), () => roundTrip(relayed, roundTrips));
  return [
    ...rows,
    { what: 'round trip, message node, our stub, p50', unit: 'ms', ...p50 },
    { what: 'round trip, message node, our stub, p99', unit: 'ms', ...p99 },
  ];
};
