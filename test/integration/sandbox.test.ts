import '../support/bare-children.js';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { textCodec } from '../../src/link/index.js';
import { Mux } from '../../src/link/mux/index.js';
import { LINK_STDIO, processLink } from '../../src/link/pipe/index.js';
import { parseAddress, systemClock, type Message, type Request, type Capability } from '../../src/protocol/index.js';
import { SandboxClient } from '../../src/sandbox/guard/client.js';
import { inProcessSandbox, processSandbox, type Sandbox } from '../../src/sandbox/index.js';

const runtime = parseAddress('hyperty-runtime://example.com/r');
const url = parseAddress('hyperty-runtime://example.com/r/protostub/s');
const other = parseAddress('hyperty://example.com/other');

const log = (): void => undefined;

/** Deploys a stub that answers each request with the value of `expression`, in which the request is `message`. */
const ask = async (sandbox: Sandbox, expression: string, capabilities: readonly Capability[] = []): Promise<unknown> => {
  const source = `export default (url, bus, config, sandbox) => {
    bus.addListener('*', async (message) => {
      const result = await Promise.resolve().then(async () => (${expression})).catch((error) => ({ refused: error.code ?? error.message }));
      bus.postMessage({ id: message.id, type: 'response', from: url, to: message.from, body: { code: 200, value: result } });
    });
    return { name: 's', instance: {} };
  };`;
  const stub = await sandbox.deploy({ url, source, config: { runtimeURL: runtime, secret: 42 }, capabilities, servers: [] });
  const answer = new Promise<Message>((resolve) => { stub.link.receive(resolve); });
  const request: Request = { id: 1, type: 'read', from: other, to: other };
  void stub.link.send(request);
  const value = (await answer).body?.value;
  await stub.undeploy();
  return value;
};

await t.test('a stub in a process sandbox gets its configuration, and neither files, processes, workers nor environment', async (t) => {
  const sandbox = await processSandbox({ log })('hostile');
  t.teardown(() => sandbox.close());
  t.equal(await ask(sandbox, 'config.secret'), 42);
  for (const module of ['node:fs', 'fs', 'node:child_process', 'node:worker_threads', 'node:net', 'data:text/javascript,export default 1', '/etc/hostname']) {
    t.same(await ask(sandbox, `import('${module}')`), { refused: `a stub is one module and imports nothing, not even ${module}` }, module);
  }
  t.same(await ask(sandbox, '[typeof process, typeof require, typeof Buffer, typeof global, typeof fetch, typeof WebSocket]'), Array(6).fill('undefined'));
});

for (const [name, make] of Object.entries({ process: processSandbox, 'in-process': inProcessSandbox })) {
  await t.test(`${name}: a stub has the capabilities that it was granted, and no others`, async (t) => {
    const sandbox = await make({ log })('plain');
    t.teardown(() => sandbox.close());
    t.same(await ask(sandbox, '[typeof sandbox.webrtc, typeof sandbox.WebSocket]'), ['undefined', 'undefined']);
    t.same(await ask(sandbox, '[typeof sandbox.webrtc, typeof sandbox.WebSocket]', ['websocket', 'webrtc']), ['object', 'function']);
  });

  await t.test(`${name}: what can't be activated is refused with the reason, and costs nothing`, async (t) => {
    const sandbox = await make({ log })('plain');
    t.teardown(() => sandbox.close());
    const deploy = (source: string) => sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] });
    await t.rejects(deploy('this is no module'), { code: 'E_DESCRIPTOR' });
    await t.rejects(deploy('export const activate = 1'), { code: 'E_DESCRIPTOR', message: /default export/ });
    await t.rejects(deploy('export default () => { throw new Error("not today") }'), { code: 'E_DESCRIPTOR', message: /not today/ });
    t.equal(await ask(sandbox, '1 + 1'), 2);
  });
}

await t.test('a listener that settles at once gets the next message, and one that doesn\'t holds it back', async (t) => {
  const sandbox = await processSandbox({ log })('paced');
  t.teardown(() => sandbox.close());
  const source = `export default (url, bus) => {
    let busy = 0;
    bus.addListener('*', async ({ id }) => {
      busy += 1;
      if (id > 3) await new Promise((done) => setTimeout(done, 20));
      bus.postMessage({ id, type: 'update', from: url, to: url, body: { value: busy } });
      busy -= 1;
    });
    return { name: 's', instance: {} };
  };`;
  const stub = await sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] });
  const values: unknown[] = [];
  const all = new Promise<void>((resolve) => { stub.link.receive(({ body }) => { if (values.push(body?.value) === 6) resolve(); }); });
  for (let id = 1; id <= 6; id++) void stub.link.send({ id, type: 'read', from: other, to: other });
  await all;
  t.same(values, Array(6).fill(1));
});

await t.test('a sandbox whose process dies says so, and its stubs\' links end', async (t) => {
  const sandbox = await processSandbox({ log })('mortal');
  const source = 'export default () => ({ name: "s", instance: {} })';
  const stub = await sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] });
  process.kill(sandbox.pid!, 'SIGSEGV');
  t.equal(await sandbox.ended, 'the process was ended by SIGSEGV');
  t.same(await stub.link.closed, { how: 'gone', reason: 'the process was ended by SIGSEGV' });
  await t.rejects(sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] }), { code: 'E_UNREACHABLE' });
  await sandbox.close();
});

await t.test('a stub that keeps its process busy is stopped, and the others of the process go on', async (t) => {
  const lines: string[] = [];
  const sandbox = await processSandbox({ log: (_level, text) => { lines.push(text); } })('busy');
  t.teardown(() => sandbox.close());
  const source = 'export default (url, bus) => { bus.addListener("*", () => { for (;;); }); return { name: "s", instance: {} } }';
  const stub = await sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] });
  void stub.link.send({ id: 1, type: 'read', from: other, to: other });
  t.same(await stub.link.closed, { how: 'closed', reason: 'it kept its process busy for 1 s' });
  t.ok(lines.includes(`busy: ${url}: it is stopped: it kept its process busy for 1 s`));
  t.equal(await ask(sandbox, '1 + 1'), 2, 'its address is free, its process alive');
});

await t.test('a sandbox that gives no sign of life is ended', async (t) => {
  const sandbox = await processSandbox({ log, heartbeatMs: 1000 })('stuck');
  // Nothing interrupts the search for a text.
  const source = 'export default (url, bus) => { bus.addListener("*", () => "a".repeat(1e7).indexOf("a".repeat(5e6) + "b")); return { name: "s", instance: {} } }';
  const stub = await sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] });
  void stub.link.send({ id: 1, type: 'read', from: other, to: other });
  t.equal(await sandbox.ended, 'it gave no sign of life for 1 s');
  t.same(await stub.link.closed, { how: 'gone', reason: 'it gave no sign of life for 1 s' });
  await sandbox.close();
});

await t.test('a sandbox that is closed in order says so, and a stub that is undeployed closes what it has', async (t) => {
  const lines: string[] = [];
  const sandbox = await processSandbox({ log: (_level, text) => { lines.push(text); } })('orderly');
  const source = 'export default () => { setInterval(() => undefined, 5); return { name: "s", instance: { close: () => console.log("goodbye") } } }';
  const stub = await sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] });
  await sandbox.close();
  t.equal(await sandbox.ended, 'closed');
  t.match(await stub.link.closed, { how: 'closed' });
  t.ok(lines.includes(`orderly: ${url}: goodbye`));
});

for (const init of [{}, { capabilities: [] }, { ours: true }, { ours: true, capabilities: [] }] as const) {
  await t.test(`a sandbox's process itself may do as little as its stubs, whatever runs in it: ${JSON.stringify(init)}`, async (t) => {
    const lines: string[] = [];
    const entry = fileURLToPath(new URL('../support/permission-probe.js', import.meta.url));
    const sandbox = await processSandbox({ entry, log: (_level, text) => { lines.push(text); } })('probe', init);
    t.equal(await sandbox.ended, 'the process exited with code 0');
    const refused = ['read', 'package', 'write', 'spawn', 'worker', 'lmdb'];
    t.same(lines.slice(0, refused.length), refused.map((what) => `probe: ${what}: ERR_ACCESS_DENIED`));
    t.match(lines[refused.length], /^probe: code: Code generation from strings disallowed/);
    t.equal(lines[refused.length + 1], 'probe: environment: 0 variables');
  });
}

await t.test('a process that nothing confines deploys no stub', async (t) => {
  for (const entry of ['interpreter.mjs', 'native.mjs']) {
    const child = spawn(process.execPath, [fileURLToPath(new URL(`../../dist/sandbox/${entry}`, import.meta.url))], { stdio: [...LINK_STDIO], env: {} });
    const link = processLink(child, textCodec);
    const sandbox = new SandboxClient({ mux: new Mux(link), clock: systemClock, log }, { name: 'bare', kill: (reason) => link.close(reason), stop: () => link.close() });
    const source = 'export default () => ({ name: "s", instance: {} })';
    await t.rejects(sandbox.deploy({ url, source, config: { runtimeURL: runtime }, capabilities: [], servers: [] }), { code: 'E_PLATFORM', message: /deploys none/ });
    await sandbox.close();
  }
});
