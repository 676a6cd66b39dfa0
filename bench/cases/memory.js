import { setTimeout as delay } from 'node:timers/promises';
import { family, pss, rss, sum } from '../support/processes.js';

/** Time for a busy process to settle, in milliseconds. */
const SETTLE_MS = 2000;
const PEERS = 8;

const row = (what, ours, reference, most, unit = 'MiB') => ({ what, unit, ours, reference, ratio: ours / reference, ...(most === undefined ? {} : { goal: { most } }) });

/** Returns the memory that each of `count` more sessions costs the server, in KiB. */
const perSession = async (server, opener, url, count) => {
  // The first sessions pay for one-time allocations.
  await opener.ask('open', { url, count: 50, from: 0 });
  const before = await server.ask('memory');
  await opener.ask('open', { url, count, from: 50 });
  return ((await server.ask('memory')) - before) / 1024 / count;
};

/** P9: memory of idle processes, against a Node that does nothing, and the memory of each more connection or session. */
export const measure = async (parties, { sessions }) => {
  if (process.platform !== 'linux') throw new Error('memory is only measured on Linux');
  const home = parties.home();
  const { url, pid: domain } = await home.domain();
  const { pid: daemon } = await home.runtime('alice', url);
  const { url: address } = await home.json('alice', 'hyperty', 'register', 'in');
  const idle = parties.start('idle');
  await idle.ask('start');
  await delay(SETTLE_MS);
  const all = family(daemon);
  const bare = rss(idle.pid);
  const rows = [
    row('idle runtime, daemon, RSS', rss(daemon), bare, 2),
    row(`idle runtime, its ${all.length} processes, RSS`, sum(all, rss), bare, 4),
    row(`idle runtime, its ${all.length} processes, PSS`, sum(all, pss), pss(idle.pid)),
    row('idle domain server, RSS', rss(domain), bare),
  ];

  const peers = await parties.runtimes(url, { sandbox: 'in-process' }, ...Array.from({ length: PEERS + 1 }, (_, i) => `peer${i}`));
  const connect = ({ party }) => party.ask('connect', address);
  await connect(peers[0]);
  await delay(SETTLE_MS);
  const before = sum(family(daemon), rss);
  for (const peer of peers.slice(1)) await connect(peer);
  await delay(SETTLE_MS);
  rows.push({ what: `each of ${PEERS} more P2P connections`, unit: 'KiB', ours: ((sum(family(daemon), rss) - before) * 1024) / PEERS });

  const domainServer = parties.start('domain', ['--expose-gc']);
  const bareServer = parties.start('sockets', ['--expose-gc']);
  const opener = parties.start('sockets');
  const ws = (await domainServer.ask('start')).replace(/^http/, 'ws') + '/ws';
  const ours = await perSession(domainServer, opener, ws, sessions);
  const reference = await perSession(bareServer, opener, await bareServer.ask('listen'), sessions);
  rows.push(row(`each of ${sessions} idle sessions, heap and buffers`, ours, reference, 1.5, 'KiB'));
  return rows;
};
