import { compare, median } from '../support/statistics.js';
import { rawRate } from './one-way.js';

const SIZES = [{ size: 100, label: '100 B' }, { size: 16 * 1024, label: '16 KiB' }];

/** P11: a message into a sandbox, through a stub that sends it back, and out; a sandbox process against an in-process sandbox, and an interpreter against native code. */
export const measure = async (parties, { rounds, burstMs, roundTrips }) => {
  const apart = parties.start('sandboxed');
  const here = parties.start('sandboxed');
  const interpreted = parties.start('sandboxed');
  await Promise.all([apart.ask('start', 'process'), here.ask('start', 'in-process'), interpreted.ask('start', 'interpreter')]);
  const rows = [];
  for (const { size, label } of SIZES) {
    const of = { size, ms: burstMs };
    for (const party of [apart, here]) await rawRate(party, { size, ms: 200 });
    const figures = await compare(rounds, () => rawRate(apart, of), () => rawRate(here, of));
    rows.push({ what: `in and out of a sandbox process, ${label}`, unit: 'msg/s', ...figures });
  }
  await rawRate(interpreted, { size: 100, ms: 200 });
  const inside = await compare(rounds, () => rawRate(interpreted, { size: 100, ms: burstMs }), () => rawRate(apart, { size: 100, ms: burstMs }));
  rows.push({ what: 'in and out of the interpreter, 100 B, against native code', unit: 'msg/s', ...inside });
  const p50 = async (party, count = roundTrips) => 1000 * median(await party.ask('roundTrips', { size: 100, count }));
  for (const party of [apart, here]) await p50(party, 500);
  const figures = await compare(rounds, () => p50(apart), () => p50(here));
  return [...rows, { what: 'in and out of a sandbox process, 100 B, p50', unit: 'µs', ...figures }];
};
