import { randomBytes } from 'node:crypto';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ended } from '../support/processes.js';
import { compare } from '../support/statistics.js';
import { rawRate } from './one-way.js';

const MB = 1_000_000;
/** Size of the reference's messages, in bytes. */
const PIECE = 64 * 1024;

/** P15: a file from one command line to the other, checked and kept, against a raw channel with messages of 64 KiB. */
export const measure = async (parties, { rounds, burstMs, fileMb }) => {
  const home = parties.home();
  const { url } = await home.domain();
  await Promise.all(['alice', 'bob'].map((profile) => home.runtime(profile, url)));
  await home.run('bob', 'hyperty', 'register', 'in');
  await home.run('alice', 'p2p', 'connect', 'bob/in');
  const raw = parties.start('raw-offerer');
  await raw.ask('connect');
  const folder = parties.folder();
  const file = join(folder, 'data.bin');
  writeFileSync(file, randomBytes(fileMb * MB));

  const ours = async () => {
    const saved = parties.folder();
    const tail = home.spawn('bob', ['msg', 'tail', 'in', '--save', saved, '--count', '1'], ['ignore', 'ignore', 'inherit']);
    const done = ended(tail, 'msg tail');
    while ((await home.json('bob', 'hyperty', 'list'))[0].attached === 0) await new Promise((resolve) => { setTimeout(resolve, 20); });
    const began = performance.now();
    await Promise.all([home.run('alice', 'msg', 'send', 'bob/in', '--file', file, '--require-direct'), done]);
    const seconds = (performance.now() - began) / 1000;
    if (statSync(join(saved, 'data.bin')).size !== fileMb * MB) throw new Error('the file has another size');
    rmSync(saved, { recursive: true, force: true });
    return fileMb / seconds;
  };
  const reference = async () => (await rawRate(raw, { size: PIECE, ms: burstMs })) * PIECE / MB;
  await reference();
  const figures = await compare(Math.min(rounds, 3), ours, reference);
  return [{ what: `file of ${fileMb} MB, P2P`, unit: 'MB/s', ...figures, goal: { least: 0.8 } }];
};
