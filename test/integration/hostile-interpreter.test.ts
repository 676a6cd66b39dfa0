import '../support/bare-children.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { parseAddress, type Address, type Capability, type Message } from '../../src/protocol/index.js';
import { processSandbox, type DeployedStub, type Sandbox } from '../../src/sandbox/index.js';

const runtimeURL = parseAddress('hyperty-runtime://example.com/r');

/** A server that counts its visitors. */
const serve = async (answer: (path: string) => { readonly status?: number; readonly location?: string }): Promise<{ readonly at: string; readonly visits: string[]; readonly close: () => void }> => {
  const visits: string[] = [];
  const server = createServer((request, response) => {
    visits.push(request.url ?? '');
    const { status = 200, location } = answer(request.url ?? '');
    response.writeHead(status, location === undefined ? {} : { location }).end('answer');
  });
  server.on('upgrade', (request, socket) => {
    visits.push(request.url ?? '');
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { at: `127.0.0.1:${String((server.address() as AddressInfo).port)}`, visits, close: () => { server.close(); server.closeAllConnections(); } };
};

const elsewhere = await serve(() => ({}));
const own = await serve((path) => (path === '/away' ? { status: 302, location: `http://${elsewhere.at}/redirected` } : {}));
t.teardown(() => { own.close(); elsewhere.close(); });
const port = elsewhere.at.split(':')[1] ?? '';

let counter = 0;
const lines: string[] = [];
const deploy = (sandbox: Sandbox, source: string, capabilities: readonly Capability[]): Promise<DeployedStub> =>
  sandbox.deploy({ url: `${runtimeURL}/protostub/${String(++counter)}` as Address, source, config: { runtimeURL, own: own.at, elsewhere: elsewhere.at }, capabilities, servers: [own.at] });

/** Runs the body of an async function in a stub of its own. Resolves with its result, or the reason of the stub's end. */
const run = async (sandbox: Sandbox, body: string, capabilities: readonly Capability[] = ['http', 'websocket', 'tcp']): Promise<unknown> => {
  const stub = await deploy(sandbox, `export default (url, bus, config, sandbox) => {
    setTimeout(() => {
      (async () => { ${body} })().then((value) => ({ value }), (error) => ({ thrown: error.code ?? error.name }))
        .then((value) => { bus.postMessage({ type: 'update', from: url, to: config.runtimeURL, body: { value } }); });
    }, 0);
    return { name: 's', instance: {} };
  };`, capabilities);
  const result = await Promise.race([
    new Promise<Message>((resolve) => { stub.link.receive((message) => { if (message.type === 'update' && message.to === runtimeURL) resolve(message); }); }).then(({ body: answer }) => answer?.value),
    stub.link.closed.then(({ reason }) => ({ ended: reason })),
  ]);
  await stub.undeploy();
  return result;
};

/** Starts a process, and checks at the end that it is still there and serves stubs. */
const start = async (t: Test): Promise<Sandbox> => {
  const sandbox = await processSandbox({ log: (_level, text) => { lines.push(text); }, heartbeatMs: 60_000 })('hostile');
  t.teardown(() => sandbox.close());
  return sandbox;
};

await t.test('no option and no prototype leads a granted fetch or socket elsewhere', async (t) => {
  const sandbox = await start(t);
  const away = elsewhere.at;
  const attempts: Record<string, string> = {
    'a dispatcher of its own': `const handed = []; const dispatcher = { dispatch(options, handler) { handed.push(handler); return true; }, on() {}, close() {} };
      const answer = await fetch('http://' + config.own + '/', { dispatcher, agent: dispatcher, socketPath: '/etc', duplex: 'half' }); return [handed.length, answer.status];`,
    'a global dispatcher': `globalThis[Symbol.for('undici.globalDispatcher.1')] = { dispatch() { throw new Error('called'); } }; return [0, (await fetch('http://' + config.own + '/')).status];`,
    'a changed prototype of URL': `for (const key of ['hostname', 'host', 'port', 'href', 'protocol']) Object.defineProperty(URL.prototype, key, { get: () => ({ hostname: '127.0.0.1', host: config.own, port: config.own.split(':')[1], href: 'http://' + config.own, protocol: 'http:' })[key] });
      return fetch(new URL('http://${away}/prototype')).then((answer) => (answer.url.includes(config.own) ? 'own' : 'answered'));`,
    'a changed prototype of promises, streams and iterators': `for (const holder of [Promise.prototype, Array.prototype, Object.getPrototypeOf(new Headers().entries()), Map.prototype, Response.prototype]) for (const key of Reflect.ownKeys(holder)) if (typeof holder[key] === 'function' && !['then', 'constructor', 'catch', 'finally', 'push', 'map', 'shift', 'splice', 'get', 'set', 'delete', 'has', 'join', 'entries', 'next', 'includes', Symbol.iterator].includes(key)) try { holder[key] = (...args) => { if (args.some((arg) => typeof arg === 'function' && arg.constructor.constructor('return typeof process')() !== 'undefined')) throw new Error('out'); }; } catch {}
      return fetch('http://${away}/streams').then(() => 'answered');`,
    'a redirection': 'return fetch("http://" + config.own + "/away").then((answer) => answer.text());',
    'a redirection seen by hand': 'const answer = await fetch("http://" + config.own + "/away", { redirect: "manual" }); return fetch(answer.headers.get("location")).then(() => "answered");',
    'an object for a request': `return fetch({ url: 'http://${away}/object', toString: () => 'http://${away}/object' }).then(() => 'answered');`,
    'a user name like its server': `return fetch('http://' + config.own.replace(':', '%3A') + '@${away}/user').then(() => 'answered');`,
  };
  for (const [notation, address] of Object.entries({ decimal: `2130706433:${port}`, octal: `0177.0.0.1:${port}`, hexadecimal: `0x7f.1:${port}`, short: `127.1:${port}`, 'IPv6-mapped': `[::ffff:127.0.0.1]:${port}`, name: `localhost:${port}`, dot: `127.0.0.1.:${port}`, backslash: `${own.at}\\@${elsewhere.at}`, tab: `127.0.0.1\t:${port}`, wide: `１２７.０.０.１:${port}` })) {
    attempts[`${notation} notation, fetch`] = `return fetch('http://' + ${JSON.stringify(address)} + '/notation').then((answer) => (answer.url.includes(config.own) ? 'own' : 'answered'));`;
    for (const [kind, scheme] of [['WebSocket', 'ws'], ['sandbox.TcpSocket', 'tcp']] as const) {
      attempts[`${notation} notation, ${kind}`] = `return new Promise((done, refuse) => { const socket = new ${kind}('${scheme}://' + ${JSON.stringify(address)}); socket.onopen = () => done('open'); socket.onclose = () => refuse(new Error('closed')); });`;
    }
  }
  for (const [name, body] of Object.entries(attempts)) {
    const result = await run(sandbox, body) as { readonly value?: unknown; readonly thrown?: unknown };
    if (name.includes('dispatcher')) t.same(result, { value: [0, 200] }, name);
    else if (result.value !== 'own') t.match(result, { value: undefined, thrown: /./ }, name);
  }
  t.same(elsewhere.visits, []);
});

await t.test('what costs too much ends its stub, and neither its process nor the next stub', async (t) => {
  const sandbox = await start(t);
  const bombs: Record<string, [string, RegExp]> = {
    'an endless loop': ['for (;;);', /kept its process busy/],
    'an endless loop that catches': ['for (;;) { try { for (;;); } catch {} }', /kept its process busy/],
    'endless microtasks': ['const again = () => Promise.resolve().then(again); return again();', /kept its process busy/],
    'a regular expression that backtracks': ['return /^(a+)+$/.test("a".repeat(50) + "b");', /kept its process busy/],
    'endless getters': ['return JSON.stringify({ get a() { for (;;); } });', /kept its process busy/],
    'an endless proxy': ['return JSON.stringify(new Proxy({}, { ownKeys: () => { for (;;); } }));', /kept its process busy/],
    'an endless toString': ['return fetch({ toString() { for (;;); } });', /kept its process busy/],
    'much memory': ['const kept = []; for (;;) kept.push({ kept });', /ran out of memory|kept its process busy/],
    'much memory, caught': ['const kept = []; for (;;) { try { for (;;) kept.push({ kept }); } catch {} }', /ran out of memory|kept its process busy/],
    'nested JSON': ['return JSON.parse("[".repeat(5e6));', /stack overflow/],
    'nested code': ['return eval("(".repeat(5e6));', /stack overflow/],
    'a nested array': ['let nested = []; for (let n = 0; n < 1e5; n++) nested = [nested]; return nested.flat(Infinity).length;', /stack overflow/],
  };
  for (const [name, [body, reason]] of Object.entries(bombs)) {
    const result = await run(sandbox, body) as { readonly ended?: string; readonly thrown?: string };
    t.match(result.ended ?? result.thrown, result.ended === undefined ? /InternalError|SyntaxError/ : reason, `${name}: ${JSON.stringify(result)}`);
    t.same(await run(sandbox, 'return 1 + 1;'), { value: 2 });
  }
  t.same(await run(sandbox, 'const deep = () => deep(); return deep();'), { thrown: 'InternalError' }, 'recursion is an error that the stub can catch');
  t.same(await run(sandbox, 'return "x".repeat(2 ** 29).length;'), { thrown: 'InternalError' });
  t.same(await run(sandbox, 'return new Uint8Array(2 ** 30).length;'), { thrown: 'InternalError' });
  t.same(await run(sandbox, 'return [typeof WebAssembly, typeof SharedArrayBuffer === "undefined" || typeof Atomics].join();'), { value: 'undefined,undefined' });
});

await t.test('a stub has a limited number of timers, sockets and requests', async (t) => {
  const sandbox = await start(t);
  const count = (what: string): string => `const kept = []; try { for (let n = 0; n < 20_000; n++) kept.push(${what}); } catch (error) { return [kept.length, error.code]; } return kept.length;`;
  t.same(await run(sandbox, count('setTimeout(() => undefined, 1e6)')), { value: [5000, 'E_TOO_MANY'] });
  t.same(await run(sandbox, count('new WebSocket("ws://" + config.own + "/")')), { value: [64, 'E_TOO_MANY'] });
  t.same(await run(sandbox, count('new sandbox.TcpSocket("tcp://" + config.own)')), { value: [64, 'E_TOO_MANY'] });
  t.same(await run(sandbox, 'const results = await Promise.allSettled(Array.from({ length: 100 }, () => fetch("http://" + config.own + "/many"))); return results.filter(({ reason }) => reason?.code === "E_TOO_MANY").length;'), { value: 36 });
  t.same(await run(sandbox, 'const text = "x".repeat(18e6); try { console.log(text); bus.postMessage({ type: "update", from: url, to: url, body: { text } }); } catch (error) { return error.code; }'), { value: 'E_TOO_LARGE' });
  t.ok(lines.every((line) => line.length < 1500));
});

await t.test('arguments of another kind, and calls from within calls, are refused or taken as text', async (t) => {
  const sandbox = await start(t);
  const odd = '[undefined, null, NaN, -1, 2 ** 53, 1n, Symbol("x"), {}, [], () => 1, new Proxy({}, { get() { throw new Error("trap"); } }), new Proxy(() => 1, {}), { get length() { throw new Error("trap"); }, toString() { throw new Error("trap"); } }, { valueOf: () => 7 }, new Uint8Array(4), new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Proxy(new Uint8Array(4), {})]';
  t.match(await run(sandbox, `
    let calls = 0;
    for (const odd of ${odd}) {
      for (const call of [() => clearTimeout(odd), () => clearTimeout(setTimeout(() => undefined, odd)), () => bus.postMessage(odd), () => bus.addListener(odd, odd), () => bus.openPort(odd), () => sandbox.log(odd, odd), () => console.log(odd), () => new WebSocket(odd, odd), () => new sandbox.TcpSocket(odd), () => fetch(odd, odd).catch(() => undefined), () => fetch('http://' + config.own, { method: odd, headers: { a: odd }, body: odd, signal: odd }).catch(() => undefined), () => crypto.getRandomValues(odd), () => new URL(odd, odd), () => new TextDecoder(odd), () => new TextDecoder().decode(odd), () => atob(odd), () => btoa(odd), () => { void sandbox.createSyncher().create(odd, odd, odd).catch(() => undefined); }]) {
        calls += 1;
        try { await call(); } catch { /* refused */ }
      }
    }
    return calls;`), { value: 18 * 18 });
  t.same(await run(sandbox, `
    let depth = 0;
    const again = { toString() { depth += 1; if (depth < 50) { console.log('within', String(again)); new URL('http://a.example/' + depth); setTimeout(() => undefined, 0); } return 'x'; } };
    fetch(again).catch(() => undefined);
    return depth;`), { value: 50 });
  t.same(await run(sandbox, `
    return new Promise((done) => {
      const socket = new sandbox.TcpSocket('tcp://' + config.own);
      socket.onopen = () => { socket.close(); socket.close(); socket.onclose = () => { socket.close(); bus.openPort(url + '/p').close(); done('closed'); }; try { socket.send('x'); } catch { /* ended */ } };
    });`), { value: 'closed' });
});

await t.test('a handler that throws costs its stub nothing but that call', async (t) => {
  const sandbox = await start(t);
  t.same(await run(sandbox, `
    const connection = new RTCPeerConnection();
    for (const event of ['negotiationneeded', 'icecandidate', 'signalingstatechange', 'icegatheringstatechange', 'connectionstatechange', 'datachannel']) connection['on' + event] = () => { throw new Error('in ' + event); };
    connection.addEventListener('icecandidate', { get handleEvent() { throw new Error('in a getter'); } });
    connection.createDataChannel('x').onclose = () => { throw new Error('in close'); };
    await connection.setLocalDescription(await connection.createOffer());
    const early = await connection.addIceCandidate({ candidate: 'candidate:1 1 UDP 1 127.0.0.1 9 typ host', sdpMid: '0' }).catch((error) => error.name);
    const bad = await connection.setRemoteDescription({ type: 'answer', sdp: 'nonsense' }).then(() => 'taken', () => 'refused');
    await new Promise((done) => { setTimeout(done, 50); });
    connection.close();
    return [early, bad];`, ['webrtc']), { value: ['InvalidStateError', 'refused'] });
  t.ok(lines.some((line) => line.includes('a callback failed: in signalingstatechange')));
  t.same(await run(sandbox, `
    const peer = await sandbox.webrtc.offer({ iceServers: [], label: 'x', eager: false }, { onCandidate() { throw new Error('in onCandidate'); }, onOpen() {}, onFrame() {}, onDrain() {}, onClose() { throw new Error('in onClose'); } });
    let bad;
    try { peer.peer.setAnswer('nonsense'); } catch (error) { bad = error.code; }
    peer.peer.close();
    return bad;`, ['webrtc']), { value: 'E_MESSAGE' });
  t.same(await run(sandbox, 'return 1 + 1;'), { value: 2 });
});
