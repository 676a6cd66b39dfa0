import { compare, median } from '../support/statistics.js';
import { ourRate } from './one-way.js';

/** Starts two runtimes in a domain with one protocol. */
const runtimesOf = async (parties, protocol) => parties.runtimes(await parties.domain({ protocols: [protocol] }), { p2p: false }, 'alice', 'bob');

/** P12: runtime to runtime through a message node over REST, against the same over WebSocket. */
export const measure = async (parties, { rounds, burstMs, roundTrips }) => {
  const [rest, sockets] = await Promise.all(['rest', 'websocket'].map((protocol) => runtimesOf(parties, protocol)));
  const of = { size: 100, ms: burstMs };
  for (const pair of [rest, sockets]) await ourRate(...pair, { size: 100, ms: 200 });
  const rate = await compare(rounds, () => ourRate(...rest, of), () => ourRate(...sockets, of));
  // One round trip takes milliseconds.
  const p50 = async ([from, to], count = Math.min(roundTrips, 500)) => median(await from.party.ask('roundTrips', { to: to.address, size: 100, count }));
  for (const pair of [rest, sockets]) await p50(pair, 200);
  const trip = await compare(rounds, () => p50(rest), () => p50(sockets));
  return [
    { what: 'one way, message node over REST, 100 B', unit: 'msg/s', ...rate },
    { what: 'round trip, message node over REST, p50', unit: 'ms', ...trip },
  ];
};
