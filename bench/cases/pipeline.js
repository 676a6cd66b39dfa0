import { spawn } from 'node:child_process';
import { ended } from '../support/processes.js';
import { compare } from '../support/statistics.js';
import { acknowledgedBurst, connected } from './one-way.js';

const LINE_BYTES = 100;

/** P6: lines of 100 B from one shell pipeline to another, against the library with messages of that size and receipts. */
export const measure = async (parties, { rounds, burstMs, lines }) => {
  const home = parties.home();
  const { url } = await home.domain();
  await Promise.all(['alice', 'bob'].map((profile) => home.runtime(profile, url)));
  await Promise.all([home.run('alice', 'hyperty', 'register', 'out'), home.run('bob', 'hyperty', 'register', 'in')]);
  await home.run('alice', 'p2p', 'connect', 'bob/in');
  const { alice, bob } = await connected(parties);

  const ours = async () => {
    const began = performance.now();
    const tail = home.spawn('bob', ['msg', 'tail', 'in', '--raw', '--count', String(lines)], ['ignore', 'ignore', 'inherit']);
    // Numbers, padded with zeros to the length of a line.
    const seq = spawn('seq', ['-f', `%0${LINE_BYTES}.0f`, String(lines)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const send = home.spawn('alice', ['msg', 'send', 'bob/in', '-'], [seq.stdout, 'ignore', 'inherit']);
    // Only the command may read from here on: if this process kept the pipe too, both would read.
    seq.stdout.destroy();
    await Promise.all([ended(tail, 'msg tail'), ended(send, 'msg send')]);
    return lines / ((performance.now() - began) / 1000);
  };
  const reference = async () => (await acknowledgedBurst(alice, bob, { size: LINE_BYTES, ms: burstMs })).rate;
  await reference();
  const figures = await compare(Math.min(rounds, 3), ours, reference);
  return [{ what: `${lines} lines of ${LINE_BYTES} B, msg send to msg tail`, unit: 'msg/s', ...figures, goal: { least: 0.6 } }];
};
