import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import t from 'tap';
import { messageCodec, textCodec, type Link, type LinkInit } from '../../src/link/index.js';
import { Mux } from '../../src/link/mux/index.js';
import { LINK_STDIO, processLink } from '../../src/link/pipe/index.js';
import type { Message } from '../../src/protocol/index.js';
import { message } from './link-contract.js';

const folder = await mkdtemp(join(tmpdir(), 'pfl-'));
const script = join(folder, 'child.mjs');
await build({ entryPoints: [fileURLToPath(new URL('link-child.ts', import.meta.url))], bundle: true, platform: 'node', format: 'esm', outfile: script, logLevel: 'silent' });
const children = new Set<ChildProcess>();
t.teardown(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

const start = (task: string): { child: ChildProcess; exited: Promise<unknown> } => {
  const child = spawn(process.execPath, [script, task], { stdio: [...LINK_STDIO] });
  children.add(child);
  const exited = once(child, 'exit').then(() => children.delete(child));
  return { child, exited };
};

const startMux = (init: LinkInit = {}): { mux: Mux; child: ChildProcess; exited: Promise<unknown>; link: Link<string> } => {
  const { child, exited } = start('mux');
  const link = processLink(child, textCodec, init);
  return { mux: new Mux(link), child, exited, link };
};

t.test('what a child gets and sends is in order; closing the link lets it exit', async (t) => {
  const { child, exited } = start('echo');
  const link = processLink<Message>(child, messageCodec);
  child.stdout?.resume();
  const ids: unknown[] = [];
  const all = new Promise<void>((resolve) => { link.receive((item) => { if (ids.push(item.id) === 5000) resolve(); }); });
  for (let id = 0; id < 5000; id++) await link.send(message(id, 'x'.repeat(id % 50 === 0 ? 100_000 : 10)));
  await all;
  t.same(ids, Array.from({ length: 5000 }, (_, id) => id));
  await link.close();
  await exited;
  t.equal(child.exitCode, 0);
});

t.test('the death of a child ends the link as gone, and every channel with it', async (t) => {
  const { mux, child, exited } = startMux();
  const channel = mux.open('echo');
  const answer = new Promise((resolve) => { channel.receive(resolve); });
  await channel.send(message(1));
  await answer;
  child.kill('SIGKILL');
  t.match(await mux.closed, { how: 'gone' });
  t.match(await channel.closed, { how: 'gone' });
  await exited;
  await mux.close();
});

t.test('what a dying child wrote is still given; garbage costs itself only', async (t) => {
  const { child, exited } = start('garbage');
  const rejected: string[] = [];
  const link = processLink(child, messageCodec, { onReject: (error) => { rejected.push(error.code); } });
  const got: unknown[] = [];
  link.receive((item) => { got.push(item.id); });
  t.match(await link.closed, { how: 'gone' });
  t.same(got, ['good']);
  t.same(rejected, ['E_MESSAGE', 'E_MESSAGE', 'E_MESSAGE']);
  await exited;
});

t.test('a channel that a child doesn\'t read stops its writer and no other', async (t) => {
  const { mux, exited } = startMux();
  const [stalled, echo] = [mux.open('stall'), mux.open('echo')];
  const writing = (async () => { for (let id = 0; id < 100_000; id++) await stalled.send(message(id, 'x'.repeat(1000))); })().catch((thrown: unknown) => thrown);
  const all = new Promise<void>((resolve) => { echo.receive((item) => { if (item.id === 20_000) resolve(); }); });
  for (let id = 0; id <= 20_000; id++) await echo.send(message(id, 'x'.repeat(100)));
  await all;
  t.ok(stalled.stats.sent < 3000, `${String(stalled.stats.sent)} of 100000 messages were accepted`);
  await mux.close();
  t.match(await writing, { code: 'E_LINK_CLOSED' });
  await exited;
});

t.test('a child that floods is stopped by a receiver that waits', async (t) => {
  const { mux, exited, link } = startMux();
  const [flood, echo] = [mux.open('flood'), mux.open('echo')];
  flood.receive(() => new Promise(() => undefined));
  await flood.send(message(0));
  const all = new Promise<void>((resolve) => { echo.receive((item) => { if (item.id === 5000) resolve(); }); });
  for (let id = 0; id <= 5000; id++) await echo.send(message(id, 'x'.repeat(1000)));
  await all;
  const before = link.stats.received;
  const last = new Promise<void>((resolve) => { echo.receive((item) => { if (item.id === 9000) resolve(); }); });
  for (let id = 5001; id <= 9000; id++) await echo.send(message(id));
  await last;
  t.ok(link.stats.received - before < 4100, 'nothing of the flood came any more');
  t.ok(before < 5000 + 1500, `${String(before)} frames had come before`);
  await mux.close();
  await exited;
});

t.test('a program that can\'t be started ends the link', async (t) => {
  const child = spawn(join(folder, 'missing'), [], { stdio: [...LINK_STDIO] });
  child.on('error', () => undefined);
  const link = processLink(child, textCodec);
  link.receive(() => undefined);
  t.equal((await link.closed).how, 'gone');

  const late = spawn(process.execPath, ['-e', '0'], { stdio: [...LINK_STDIO] });
  for (const stream of late.stdio) stream?.destroy();
  await once(late, 'close');
  t.equal((await processLink(late, textCodec).closed).how, 'gone', 'also when that was over already');
});

t.test('a process without the pipe is a usage error', async (t) => {
  const child = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' });
  t.throws(() => processLink(child, textCodec), { code: 'E_USAGE' });
  await once(child, 'exit');
  const orphan = spawn(process.execPath, [script, 'echo'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let told = '';
  orphan.stderr.on('data', (chunk: Buffer) => { told += chunk.toString(); });
  await once(orphan, 'close');
  t.match(told, /E_USAGE/);
});
