/**
 * `npm run demo`: two domains on this machine, with a runtime in each, and the fate of the messages between
 * them. Everything is the real program, started as a person would start it, in a home of its own that is
 * removed at the end. Exits with 0 if every step has really happened, otherwise with 1 and the reason.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { isAlive } from '../dist/cli/daemons/alive.js';
import { connectRuntime } from '../dist/index.js';

const PROGRAM = fileURLToPath(new URL('../bin/run.js', import.meta.url));
const STREAM_INTERVAL_MS = 20;
/** One domain for each protocol of a message node. */
const DOMAINS = [{ name: 'a.example', protocol: 'websocket', user: 'alice' }, { name: 'b.example', protocol: 'rest', user: 'bob' }];
const BOB = 'bob/in@b.example';
const started = performance.now();

const coloured = process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
const paint = (style, text) => (coloured ? styleText(style, text) : text);
const print = (text = '') => { process.stdout.write(`${text}\n`); };
const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;

const ARROWS = { p2p: ['══════ P2P ══════▶', 'green'], 'msg-node': ['──▶ message node ──▶', 'yellow'] };
const arrow = (path) => paint(ARROWS[path][1], ARROWS[path][0].padEnd(20));

let steps = 0;
/** Prints a step's headline, with the time since the start. */
const headline = (text) => {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5);
  print(`${paint('dim', `${seconds} s`)}  ${paint('bold', `${String(++steps)}. ${text}`)}`);
};
const detail = (text) => { print(`            ${text}`); };
const command = (text) => { detail(paint('dim', `$ protofly ${text}`)); };

/** Checks a claim of a step, so that the demo shows only facts. */
const check = (holds, otherwise) => { if (!holds) throw new Error(otherwise); };

/** Runs commands in a home of their own, and tracks those still running. */
class Stage {
  #running = new Set();
  #interruption = new AbortController();
  /** Process ids of daemons and their sandboxes. */
  pids = new Set();

  constructor(home) {
    this.home = home;
    this.env = { ...process.env, PROTOFLY_HOME: home, PROTOFLY_PROFILE: '' };
  }

  get signal() { return this.#interruption.signal; }

  /** Ends all running commands, and aborts every wait. */
  interrupt(reason) {
    this.#interruption.abort(new Error(reason));
    for (const child of this.#running) child.kill('SIGTERM');
  }

  /** Starts a command in a process group of its own, so that a Ctrl-C reaches it only through this process, once. */
  start(profile, ...args) {
    const child = spawn(process.execPath, [PROGRAM, ...(profile === undefined ? [] : ['--profile', profile]), ...args], {
      env: this.env, stdio: ['pipe', 'pipe', 'pipe'], detached: process.platform !== 'win32', windowsHide: true,
    });
    this.#running.add(child);
    child.stdin.on('error', () => undefined);
    child.text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => { child.text += chunk; });
    child.over = new Promise((resolve) => {
      child.once('error', (error) => { child.text += error.message; resolve(1); });
      child.once('close', (code) => { this.#running.delete(child); resolve(code); });
    });
    return child;
  }

  /** Runs a command to its end. Returns the document that it printed. */
  async run(profile, ...args) {
    this.signal.throwIfAborted();
    const child = this.start(profile, ...args, '--json');
    child.stdin.end();
    const code = await child.over;
    this.signal.throwIfAborted();
    check(code === 0, `protofly ${args.join(' ')} ended with ${String(code)}: ${child.text.trim()}`);
    return JSON.parse(child.text);
  }

  async settled() {
    await Promise.all([...this.#running].map(({ over }) => over));
  }

  /** Ends everything that was started, and removes the home. Returns the processes that had to be killed. */
  async clear() {
    for (const child of this.#running) child.kill('SIGTERM');
    await this.settled();
    // A person's interruption doesn't stop the clearing: it has ended only the commands started before.
    const stop = async (...args) => {
      const child = this.start(...args);
      child.stdin.end();
      await child.over;
    };
    await Promise.all(['alice', 'bob'].map((profile) => stop(profile, 'runtime', 'stop')));
    await Promise.all(DOMAINS.map(({ name }) => stop(undefined, 'domain', 'stop', '--name', name)));
    for (const end = Date.now() + 3000; [...this.pids].some(isAlive) && Date.now() < end;) await pause(20);
    const left = [...this.pids].filter(isAlive);
    for (const pid of left) process.kill(pid, 'SIGKILL');
    rmSync(this.home, { recursive: true, force: true, maxRetries: 3 });
    return left;
  }
}

const startAll = async (stage) => {
  headline('Two domains that speak different protocols, and a runtime in each');
  const domains = await Promise.all(DOMAINS.map(({ name, protocol }) => stage.run(undefined, 'domain', 'start', '--name', name, '--protocols', protocol, '--listen', '127.0.0.1:0', '--detach')));
  for (const { domain, url, protocols, pid } of domains) {
    stage.pids.add(pid);
    detail(`${domain.padEnd(11)}${url}, its message node speaks ${protocols.join(' and ')}`);
  }
  const runtimes = await Promise.all(DOMAINS.map(async ({ name, user }) => {
    for (const { domain, url } of domains) await stage.run(user, 'domain', 'add', domain, url);
    return stage.run(user, 'runtime', 'start', '--domain', name, '--user', user);
  }));
  for (const { user, runtime, pid } of runtimes) {
    stage.pids.add(pid);
    detail(`${user.split('/').at(-1).padEnd(11)}${runtime}, process ${String(pid)}`);
  }
};

const registerAll = async (stage) => {
  headline('They register hyperties: addresses for programs');
  for (const [user, name] of [['alice', 'chat'], ['bob', 'in'], ['bob', 'upper']]) {
    const { url } = await stage.run(user, 'hyperty', 'register', name);
    detail(`${`${user}/${name}`.padEnd(11)}${url}`);
  }
};

const sendOne = async (stage, text, path) => {
  command(`msg send ${BOB} "${text}" --receipt`);
  const receipt = await stage.run('alice', 'msg', 'send', BOB, text, '--receipt');
  check(receipt.state === 'delivered' && receipt.via === path, `the message should have gone by ${path}: ${JSON.stringify(receipt)}`);
  detail(`alice ${arrow(path)} bob/in     "${text}", receipt after ${milliseconds(receipt.rtt_ms)}`);
};

const connect = async (stage) => {
  headline('A direct connection: WebRTC, set up through both message nodes');
  command(`p2p connect ${BOB}`);
  const { status, setupMs, pair } = await stage.run('alice', 'p2p', 'connect', BOB);
  check(status === 'live' && typeof setupMs === 'number' && pair !== undefined, `the connection is ${status}`);
  detail(`live after ${milliseconds(setupMs)}`);
  detail(`alice at ${pair.local}  ${paint('green', '◀═▶')}  bob at ${pair.remote}`);
};

const ask = async (stage) => {
  headline('A request, and the answer of a program at bob\'s');
  const bob = await connectRuntime('bob', stage.env);
  try {
    const upper = await bob.register('upper');
    await upper.receive(({ value }) => String(value).toUpperCase());
    command('msg request bob/upper@b.example "how are you?"');
    const { path } = await stage.run('alice', 'registry', 'resolve', 'bob/upper@b.example');
    check(path === 'p2p', `the request should go by P2P, not ${path}`);
    const { code, value } = await stage.run('alice', 'msg', 'request', 'bob/upper@b.example', 'how are you?');
    check(code === 200 && value === 'HOW ARE YOU?', `the answer was ${String(code)} ${JSON.stringify(value)}`);
    detail(`alice ${arrow('p2p')} bob/upper  "how are you?"`);
    detail(`alice ${paint('green', '◀══════ P2P ══════  ')} bob/upper  "${value}"`);
  } finally {
    await bob.close();
  }
};

const NAMES = { 'msg-node': 'message node', 'p2p-handler': 'P2P handler', 'p2p-requester': 'P2P requester' };

/** Shows which stubs carried the messages, and where each was downloaded from. */
const showStubs = async (stage) => {
  headline('What carried all this: alice\'s protostubs, downloaded and checked, in processes of their own');
  command('registry list');
  const { protostubs } = await stage.run('alice', 'registry', 'list');
  const domains = new Set(protostubs.map(({ origin }) => new URL(origin).hostname.replace('catalogue.', '')));
  check(DOMAINS.every(({ name }) => domains.has(name)), `stubs came from ${[...domains].join(', ')} only`);
  for (const { kind, origin, version, hash, from, keyId, pid } of protostubs) {
    check(from !== 'built-in' && keyId !== undefined, `${origin} came from the ${from}`);
    const [, , host, , , name] = origin.split('/');
    detail(`${NAMES[kind].padEnd(14)}${host.replace('catalogue.', '')} ${name.padEnd(14)} ${version}  ${hash.slice(7, 17)}  signed by ${keyId.slice(0, 10)}  process ${String(pid)}`);
  }
};

/** Returns the process of a runtime's P2P stubs. */
const p2pProcess = async (stage, profile) => {
  const { protostubs } = await stage.run(profile, 'registry', 'list');
  for (const { pid } of protostubs) if (pid !== undefined) stage.pids.add(pid);
  const stub = protostubs.find(({ kind }) => kind === 'p2p-requester');
  check(stub?.pid !== undefined, 'the P2P requester stub has no process');
  return stub.pid;
};

/** Groups consecutive receipts of one path, as `{path, from, to}`. */
const stretches = (receipts) => {
  const found = [];
  for (const [index, { via }] of receipts.entries()) {
    const last = found.at(-1);
    if (last?.path === via) last.to = index + 1;
    else found.push({ path: via, from: index + 1, to: index + 1 });
  }
  return found;
};

/** Streams numbers until `enough` returns true for the receipts. Calls `onReceipt` for each. */
const stream = async (stage, enough, onReceipt) => {
  const child = stage.start('alice', 'msg', 'send', BOB, '-', '--receipt');
  const receipts = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const receipt = JSON.parse(line);
    receipts.push({ ...receipt, at: performance.now() });
    onReceipt(receipts);
  });
  let sent = 0;
  for (const end = Date.now() + 10_000; !enough(receipts); ) {
    check(Date.now() < end, `P2P didn't come back within 10 s: ${JSON.stringify(stretches(receipts))}`);
    check(child.exitCode === null, `msg send ended early: ${child.text.trim()}`);
    child.stdin.write(`${String(++sent)}\n`);
    await pause(STREAM_INTERVAL_MS, undefined, { signal: stage.signal });
  }
  child.stdin.end();
  const code = await child.over;
  check(code === 0, `msg send ended with ${String(code)}: ${child.text.trim().split('\n').at(-1)}`);
  check(receipts.length === sent && receipts.every(({ state }) => state === 'delivered'), `${String(receipts.length)} receipts for ${String(sent)} messages`);
  return receipts;
};

const survive = async (stage) => {
  headline('The process with alice\'s P2P connection is killed in the middle of a stream');
  const victim = await p2pProcess(stage, 'alice');
  command(`msg send ${BOB} - --receipt   ${paint('dim', '(a number every 20 ms)')}`);
  let killedAt;
  const directAtTheEnd = (receipts) => killedAt !== undefined && receipts.length >= 50 && receipts.slice(-15).every(({ via }) => via === 'p2p');
  const receipts = await stream(stage, directAtTheEnd, (soFar) => {
    if (killedAt !== undefined || soFar.length < 25) return;
    process.kill(victim, 'SIGKILL');
    killedAt = performance.now();
  });
  const parts = stretches(receipts);
  check(parts.length >= 3 && parts[0].path === 'p2p' && parts[1].path === 'msg-node' && parts.at(-1).path === 'p2p', `the messages should have gone by P2P, message node and P2P again, not ${JSON.stringify(parts)}`);
  for (const [index, { path, from, to }] of parts.entries()) {
    if (index === 1) detail(paint('red', `      ✗ kill -9 ${String(victim)}`));
    detail(`alice ${arrow(path)} bob/in     ${String(from)} to ${String(to)}`);
  }
  const back = receipts[parts.at(-1).from - 1].at - killedAt;
  const gap = Math.max(...receipts.slice(1).map(({ at }, index) => at - receipts[index].at));
  check((await p2pProcess(stage, 'alice')) !== victim, 'the process is still the old one');
  detail(`direct again ${milliseconds(back)} after the kill; never more than ${milliseconds(gap)} without a receipt`);
  return receipts.length;
};

/** Reads bob's inbox: exactly the messages that alice sent. */
const readAll = async (stage, expected) => {
  headline('What bob got');
  command(`--profile bob msg tail in --raw --count ${String(expected.length)}`);
  const child = stage.start('bob', 'msg', 'tail', 'in', '--raw', '--count', String(expected.length), '--timeout', '10s');
  child.stdin.end();
  const code = await child.over;
  const lines = child.text.trimEnd().split('\n');
  check(code === 0 && lines.length === expected.length && lines.every((line, index) => line === expected[index]), `bob got ${JSON.stringify(lines)}`);
  const [inbox] = (await stage.run('bob', 'hyperty', 'list')).filter(({ name }) => name === 'in').map((hyperty) => hyperty.inbox);
  check(inbox.messages === 0, `${String(inbox.messages)} more messages are in the inbox`);
  detail(`${String(lines.length)} of ${String(expected.length)} messages: none lost, none twice, all in order`);
};

const play = async (stage) => {
  print(`${paint('bold', 'protofly')}: two domains and a peer node in each on this machine, and the way that messages take between them\n`);
  await startAll(stage);
  await registerAll(stage);
  headline('A message, before there is a direct connection');
  await sendOne(stage, 'hello bob', 'msg-node');
  await connect(stage);
  headline('The same over the direct connection');
  await sendOne(stage, 'hello again', 'p2p');
  await ask(stage);
  await showStubs(stage);
  const streamed = await survive(stage);
  await readAll(stage, ['hello bob', 'hello again', ...Array.from({ length: streamed }, (_, index) => String(index + 1))]);
  await Promise.all(['alice', 'bob'].map((profile) => p2pProcess(stage, profile).catch(() => undefined)));
};

const main = async () => {
  const stage = new Stage(mkdtempSync(join(tmpdir(), 'protofly-demo-')));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => { stage.interrupt(`ended by ${signal}`); });
  process.stdout.on('error', () => { stage.interrupt('nobody reads what it prints'); });
  let failure;
  try {
    await play(stage);
  } catch (thrown) {
    failure = stage.signal.aborted ? stage.signal.reason : thrown;
  }
  const left = await stage.clear();
  if (failure === undefined && (left.length > 0 || existsSync(stage.home))) failure = new Error(`something was left behind: ${left.join(', ')} ${stage.home}`);
  if (failure === undefined) {
    headline('Everything is stopped, and nothing is left behind');
    print(`\n${paint('green', 'All of it happened.')} README.md shows how to do it by hand.`);
    return 0;
  }
  process.stderr.write(`\n${paint('red', 'The demo stopped:')} ${failure.message}\n`);
  return stage.signal.aborted ? 130 : 1;
};

process.exitCode = await main();
