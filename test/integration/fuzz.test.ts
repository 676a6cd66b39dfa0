import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { parseDescriptor, parseDomainInfo, parsePublicKey, parseSourcePackage } from '../../src/protocol/descriptor.js';
import { decodeMessage, parseAddress, parseConnection, parseIceServers, parseRecord, ProtoflyError, type Address } from '../../src/protocol/index.js';
import { parseSnapshot } from '../../src/protocol/data-object-messages.js';
import { processSandbox } from '../../src/sandbox/index.js';
import { connected, openLine, Program, rssOf, withWorld, type World } from '../support/acceptance.js';
import { withHome } from '../support/cli.js';
import { DomainClient } from '../support/domain-client.js';
import { makeKey } from '../support/identity-key.js';
import { frames, values, type Words } from '../support/fuzz.js';

/**
 * Every door of real processes, attacked by input that follows from a seed: FUZZ_SECONDS for each door, FUZZ_SEED. A
 * witness uses the same door in the meantime.
 */
const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 6);
const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 30);
t.setTimeout((SECONDS * 8 + 300) * 1000);
t.comment(`FUZZ_SEED=${String(SEED)}`);

const MIB = 1024 * 1024;
const home = withHome(t);
let world: World;
let domain: { readonly url: string; readonly pid: number; readonly socket: string };
let runtime: { readonly socket: string; readonly pid: number };
t.before(async () => {
  world = await withWorld(home);
  domain = JSON.parse((await home.pfly(['domain', 'status', '--json'])).stdout) as typeof domain;
  runtime = { socket: await world.bob.socket(), pid: (await world.bob.status()).pid };
});

/** Opens a session that nobody can take over, because it is bound to a key. */
const witnessAt = async (url: string): Promise<DomainClient> => {
  const key = makeKey();
  return (await DomainClient.connect(url, `hyperty-runtime://localhost/${key.id}`)).openSession(key);
};

/** Asks over and over, until `work` is done. @returns the longest time until an answer, in milliseconds */
const witnessed = async (ask: () => Promise<unknown>, work: Promise<void>): Promise<number> => {
  let worst = 0;
  let isOver = false;
  void work.finally(() => { isOver = true; }).catch(() => undefined);
  while (!isOver) {
    const start = performance.now();
    await ask();
    worst = Math.max(worst, performance.now() - start);
    await pause(5);
  }
  await work;
  return worst;
};

/** Attacks a door until the time is up, then checks that its process is there and hasn't grown. */
const attack = async (t: Test, pid: number, ask: () => Promise<unknown>, round: (batch: readonly string[], number: number) => Promise<void>, words: Words): Promise<void> => {
  const until = Date.now() + SECONDS * 1000;
  const before = rssOf(pid);
  let sent = 0;
  const work = async (): Promise<void> => {
    for (const batch of frames(SEED, words)) {
      if (Date.now() >= until) return;
      await round(batch, sent / batch.length);
      sent += batch.length;
    }
  };
  const worst = await witnessed(ask, work());
  t.comment(`${String(sent)} frames; the witness waited ${worst.toFixed(0)} ms at most; ${((rssOf(pid) - before) / MIB).toFixed(0)} MiB more`);
  t.ok(sent > 0);
  t.ok(rssOf(pid) - before < 512 * MIB, 'memory is bounded');
};

/** Lets a socket take what was written, or end. */
const drained = async (isFull: () => boolean): Promise<void> => { while (isFull()) await pause(1); };

const NODE_WORDS = ['hyperty-runtime://localhost/fuzz0', 'hyperty-runtime://localhost/fuzz1', 'hyperty-runtime://localhost/witness', 'hyperty-runtime://evil.example/x', 'mn:/session', 'domain://registry.localhost', 'domain://msg-node.localhost/sm', 'domain://msg-node.localhost/address-allocation', 'domain://localhost/ice', 'hyperty-catalogue://catalogue.localhost', 'hyperty://localhost/a', 'connection://localhost/o/subscription', 'hyperty-runtime://localhost/fuzz0/p2phandler/1', 'user://localhost/eve', '/hyperty', '/hyperty/name/x', 'status', 'live', 'global://x'];

t.test('a message node, over WebSocket', async (t) => {
  const witness = await witnessAt(domain.url);
  await attack(t, domain.pid, () => witness.ask('ping', 'mn:/session'), async (batch, number) => {
    const ws = new WebSocket(`${domain.url.replace(/^http/, 'ws')}/ws`);
    ws.on('error', () => undefined).on('message', () => undefined);
    await Promise.race([once(ws, 'open'), once(ws, 'close')]);
    const from = `hyperty-runtime://localhost/fuzz${String(number % 2)}`;
    if (number % 3 !== 0) ws.send(JSON.stringify({ id: 'o', type: 'open', from, to: 'mn:/session' }));
    for (const [at, text] of batch.entries()) {
      if (ws.readyState !== WebSocket.OPEN) break;
      ws.send(at % 7 === 0 ? Buffer.from(text) : text);
      await drained(() => ws.readyState === WebSocket.OPEN && ws.bufferedAmount > MIB);
    }
    ws.terminate();
  }, NODE_WORDS);
  t.equal(await witness.code('ping', 'mn:/session'), 200);
});

const printable = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '').slice(0, 20);

t.test('a message node, over REST', async (t) => {
  const witness = await witnessAt(domain.url);
  await attack(t, domain.pid, () => witness.ask('ping', 'mn:/session'), async (batch, number) => {
    const opened = await fetch(`${domain.url}/rest/session`, { method: 'POST', body: JSON.stringify({ id: 1, type: 'open', from: `hyperty-runtime://localhost/fuzz${String(number % 2)}`, to: 'mn:/session' }) });
    const token = String((await opened.json() as { body?: { runtimeToken?: string } }).body?.runtimeToken);
    await Promise.all(batch.slice(0, 30).map(async (text, at) => {
      const path = at % 5 === 0 ? '/rest/session' : `/rest/messages${at % 7 === 0 ? `?wait=${encodeURIComponent(printable(text))}` : ''}`;
      const body = at % 3 === 0 ? `[${text},${text}]` : text;
      const response = await fetch(domain.url + path, {
        method: 'POST', body, headers: { authorization: `Bearer ${token}`, ...(at % 4 === 0 ? { 'protofly-batch': printable(text) } : {}) }, signal: AbortSignal.timeout(20_000),
      }).catch(() => undefined);
      await response?.arrayBuffer().catch(() => undefined);
    }));
  }, NODE_WORDS);
  t.equal(await witness.code('ping', 'mn:/session'), 200);
});

const lines = async (path: string, batch: readonly string[], isMember: boolean): Promise<void> => {
  const socket = await connected(path);
  socket.on('error', () => undefined).resume();
  if (isMember) socket.write(openLine(path));
  for (const text of batch) {
    if (socket.destroyed) break;
    socket.write(`${text}\n`);
    await drained(() => !socket.destroyed && socket.writableLength > MIB);
  }
  socket.destroy();
};

t.test('the control sockets of a runtime and of a domain server', async (t) => {
  const bob = await Program.open(runtime.socket);
  t.teardown(() => { bob.close(); });
  const own = (address: string): string => `${bob.runtime}/${address}`;
  const words = [bob.runtime, own('ua'), own('registry'), own('catalogue'), own('doctor'), own('sm'), own('client/1'), 'mn:/client', 'mn:/session', 'alice/in', 'hyperty://localhost/a', 'status', 'hyperties', 'connections', 'protostubs', 'domains', 'window', 'catalogue', 'domain://registry.localhost', 'user://localhost/alice'];
  await attack(t, runtime.pid, () => bob.ask(bob.runtime, 'ping'), (batch, number) => lines(runtime.socket, batch, number % 3 !== 0), words);
  t.match(await bob.ask(own('ua'), 'read', { resource: 'status' }), { code: 200 });
  const operator = await Program.open(domain.socket);
  t.teardown(() => { operator.close(); });
  await attack(t, domain.pid, () => operator.ask(operator.runtime, 'read', { resource: 'status' }), (batch, number) => lines(domain.socket, batch, number % 3 !== 0), [operator.runtime, ...words]);
});

t.test('documents, descriptors, records, messages and addresses, read by this process', (t) => {
  const until = Date.now() + SECONDS * 1000;
  const words = ['domain', 'messageNode', 'websocket', 'rest', 'publisher', 'keys', 'kid', 'kty', 'crv', 'x', 'OKP', 'Ed25519', 'cguid', 'type', 'protocolstub', 'version', 'objectName', 'constraints', 'configuration', 'url', 'signature', 'sourcePackageURL', 'sourceCode', 'sourceCodeClassname', 'encoding', 'serial', 'expires', 'runtime', 'hyperty://a.example/b', 'hyperty-runtime://a.example/b', 'https://a.example', '__proto__', 'id', 'from', 'to', 'body'];
  const readers = [parseDescriptor, parseDomainInfo, parsePublicKey, parseSourcePackage, parseRecord, parseConnection, parseIceServers, parseSnapshot, (value: unknown) => decodeMessage(JSON.stringify(value)), (value: unknown) => parseAddress(JSON.stringify(value).slice(1, 60))] as readonly ((value: unknown) => unknown)[];
  let read = 0;
  for (const batch of values(SEED, words)) {
    if (Date.now() >= until) break;
    for (const value of batch) {
      for (const reader of readers) {
        read += 1;
        try {
          reader(value);
        } catch (thrown) {
          if (!(thrown instanceof ProtoflyError)) t.fail(`${reader.name}: ${String(thrown)}`, { value: JSON.stringify(value) });
        }
      }
    }
  }
  t.comment(`${String(read)} readings`);
  t.ok(read > 0);
  t.end();
});

t.test('host calls of a stub in the interpreter', async (t) => {
  const runtimeURL = parseAddress('hyperty-runtime://example.com/r');
  const log: string[] = [];
  const sandbox = await processSandbox({ log: (_level, text) => { log.push(text); } })('fuzz', { capabilities: ['http', 'tcp', 'webrtc', 'websocket'], ours: false });
  t.teardown(() => sandbox.close());
  const source = `export default (url, bus, config, sandbox) => {
    let state = config.seed >>> 0;
    const below = (count) => { state = (Math.imul(state, 1103515245) + 12345) >>> 0; return Math.floor((state / 4294967296) * count); };
    const pick = (list) => list[below(list.length)];
    const kept = [];
    const odd = () => pick([undefined, null, 0, -1, 1e308, NaN, '', 'x', '\\0', '\\uFEFFx', '\\u0001', '\\u0001"x"', '\\u00011', url, config.url, 'ws://127.0.0.1:9/', 'tcp://127.0.0.1:9', 'http://127.0.0.1:9/', {}, [], [[]], new Uint8Array(3), new ArrayBuffer(5), new Map(), () => undefined, Symbol.iterator, 1n, new Proxy({}, { get() { throw new Error('trap'); } }), { toString() { throw new Error('no'); } }, { type: 'update', from: url, to: config.runtimeURL, body: {} }, kept.length > 0 ? pick(kept) : undefined, 'y'.repeat(below(100000))]);
    const classes = [URL, URLSearchParams, TextEncoder, TextDecoder, EventTarget, Event, AbortController, WebSocket, sandbox.TcpSocket, RTCPeerConnection, RTCSessionDescription, RTCIceCandidate, Headers];
    const calls = [fetch, setTimeout, clearTimeout, setInterval, clearInterval, queueMicrotask, atob, btoa, sandbox.log, console.log, crypto.getRandomValues, crypto.randomUUID, sandbox.webrtc.offer, sandbox.webrtc.answer, sandbox.createSyncher, (...a) => bus.postMessage(...a), (...a) => bus.addListener(...a), (...a) => bus.openPort?.(...a)];
    let done = 0;
    const step = () => {
      for (let i = 0; i < 20; i += 1) {
        done += 1;
        try {
          const thing = kept.length > 0 && below(3) > 0 ? pick(kept) : undefined;
          const args = [odd(), odd(), odd()].slice(0, below(4));
          let result;
          if (thing !== undefined && thing !== null && typeof thing === 'object') {
            const names = [...new Set([...Object.getOwnPropertyNames(thing), ...Object.getOwnPropertyNames(Object.getPrototypeOf(thing) ?? {})])];
            const name = pick(names);
            if (typeof thing[name] === 'function' && below(4) > 0) result = thing[name](...args);
            else thing[name] = odd();
          } else if (below(2) === 0) result = new (pick(classes))(...args);
          else result = pick(calls)(...args);
          if (result instanceof Promise) result.then((value) => { if (typeof value === 'object') kept.push(value); }, () => undefined);
          else if (typeof result === 'object' && result !== null) kept.push(result);
          if (kept.length > 40) kept.splice(below(40), 5);
        } catch {}
      }
      next(step, 0);
    };
    const next = setTimeout;
    next(step, 0);
    bus.addListener(url, () => { bus.postMessage({ type: 'update', from: url, to: config.runtimeURL, body: { value: 'done ' + done } }); });
    return { name: 'fuzz', instance: {} };
  };`;
  const until = Date.now() + SECONDS * 1000;
  let stubs = 0;
  let ends = 0;
  while (Date.now() < until) {
    stubs += 1;
    const url = `${runtimeURL}/protostub/${String(stubs)}` as Address;
    const stub = await sandbox.deploy({ url, source, config: { runtimeURL, seed: SEED + stubs, url: 'ws://127.0.0.1:9' } as never, capabilities: ['http', 'tcp', 'webrtc', 'websocket'], servers: ['127.0.0.1:9'] });
    stub.link.receive(() => undefined);
    // Most stubs break one of their limits at some time, and are ended alone.
    const end = await Promise.race([stub.link.closed.then(({ reason }) => reason), pause(700).then(() => undefined)]);
    if (end !== undefined) ends += 1;
    await stub.undeploy().catch(() => undefined);
  }
  const plain = await sandbox.deploy({ url: `${runtimeURL}/protostub/plain` as Address, source: 'export default () => ({ name: "plain", instance: {} });', config: { runtimeURL }, capabilities: [], servers: [] });
  t.comment(`${String(stubs)} stubs, ${String(ends)} of them ended by themselves`);
  t.ok(stubs > 0);
  t.ok(await plain.undeploy().then(() => true), 'the process is there, and takes another stub');
});
