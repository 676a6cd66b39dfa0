import { cpuOf } from '../support/processes.js';
import { compare } from '../support/statistics.js';

const SIZES = [
  { size: 100, label: '100 B', least: 1.5, leastAcknowledged: 1.3 },
  { size: 1024, label: '1 KiB', leastAcknowledged: 1.05 },
  { size: 16 * 1024, label: '16 KiB', leastAcknowledged: 1 },
];

const rate = ({ count }, began, ended) => count / ((ended - began) / 1000);

/** Measures a burst: messages per second, and microseconds of CPU time per message in the processes of the parties. */
const burstOf = async (parties, run) => {
  const pids = parties.map(({ pid }) => pid);
  const before = cpuOf(pids);
  const { began, count, ended } = await run();
  return { rate: rate({ count }, began, ended), cpu: (cpuOf(pids) - before) / count };
};

const fromTo = (command) => (from, to, of) => burstOf([from.party, to.party], async () => {
  const [began, result] = await Promise.all([from.party.ask(command, { to: to.address, ...of }), to.party.ask('result')]);
  return { began, ...result };
});

/** A burst from one hyperty to the other, best effort. */
export const ourBurst = fromTo('burst');
/** The same with a receipt for each message: numbered, kept until the receipt, in order. */
export const acknowledgedBurst = fromTo('burstAcknowledged');
export const rawBurst = (raw, of) => burstOf([raw], () => raw.ask('burst', of));

export const ourRate = async (from, to, of) => (await ourBurst(from, to, of)).rate;
export const rawRate = async (raw, of) => (await rawBurst(raw, of)).rate;

/** Returns a row of the table. */
export const burstRow = (what, { rate: figures, cpu }, least) => ({ what, unit: 'msg/s', ...figures, ...(cpu === undefined ? {} : { cpu }), ...(least === undefined ? {} : { goal: { least } }) });

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
  for (const { size, label, least, leastAcknowledged } of SIZES) {
    for (const [how, ours, goal] of [['best effort', ourBurst, least], ['with receipts', acknowledgedBurst, leastAcknowledged]]) {
      // The first burst warms both up.
      const of = { size, ms: burstMs };
      await Promise.all([ours(alice, bob, { size, ms: 200 }), rawBurst(raw, { size, ms: 200 })]);
      rows.push(burstRow(`one way, P2P, ${label}, ${how}`, await compare(rounds, () => ours(alice, bob, of), () => rawBurst(raw, of)), goal));
    }
  }
  return rows;
};
