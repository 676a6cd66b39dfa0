import '../support/bare-children.js';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocketServer, type WebSocket } from 'ws';
import { isResponse, parseAddress, respond, type Address, type Message, type Capability } from '../../src/protocol/index.js';
import { processSandbox, type Sandbox } from '../../src/sandbox/index.js';

const runtimeURL = parseAddress('hyperty-runtime://example.com/r');
const url = parseAddress('hyperty-runtime://example.com/r/protostub/s');

const listen = async (t: Test, server: Server): Promise<string> => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => { server.close(); });
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
};

const start = async (t: Test): Promise<{ sandbox: Sandbox; lines: string[] }> => {
  const lines: string[] = [];
  const sandbox = await processSandbox({ log: (_level, text) => { lines.push(text); } })('box');
  t.teardown(() => sandbox.close());
  return { sandbox, lines };
};

let counter = 0;
/** Runs the body of an async function in a stub of its own. Resolves with its result. */
const run = async (sandbox: Sandbox, capabilities: readonly Capability[], servers: readonly string[], body: string): Promise<unknown> => {
  const own = `${url}${String(++counter)}` as Address;
  const source = `export default (url, bus, config, sandbox) => {
    (async () => { ${body} })().then((value) => ({ value }), (error) => ({ thrown: error.code ?? error.name, message: error.message }))
      .then((value) => { bus.postMessage({ type: 'update', from: url, to: config.runtimeURL, body: { value } }); });
    return { name: 's', instance: {} };
  };`;
  const stub = await sandbox.deploy({ url: own, source, config: { runtimeURL }, capabilities, servers });
  const message = await new Promise<Message>((resolve) => { stub.link.receive(resolve); });
  await stub.undeploy();
  return message.body?.value;
};

await t.test('a stub that knows nothing of this runtime works unchanged', async (t) => {
  const server = createServer();
  const at = await listen(t, server);
  const sockets: WebSocket[] = [];
  const heard: unknown[] = [];
  const node = new WebSocketServer({ server });
  t.teardown(() => { for (const socket of sockets) socket.terminate(); });
  node.on('connection', (socket) => {
    sockets.push(socket);
    socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Message & { hello?: string };
      heard.push(frame.hello ?? frame.body?.value);
      if (frame.hello === undefined && !isResponse(frame)) socket.send(JSON.stringify(respond(frame, 200, { value: 'carried' })));
    });
  });
  const { sandbox, lines } = await start(t);
  const source = await readFile(new URL('../support/plain-stub.js', import.meta.url), 'utf8');
  const stub = await sandbox.deploy({ url, source, config: { runtimeURL, url: `ws://${at}/` }, capabilities: ['websocket'], servers: [at] });
  const states: unknown[] = [];
  const answers: Message[] = [];
  let told = (): void => undefined;
  const until = async (look: () => boolean): Promise<void> => { while (!look()) await new Promise<void>((resolve) => { told = resolve; }); };
  stub.link.receive((message) => {
    if (message.to === `${url}/status`) states.push(message.body?.value);
    else if (isResponse(message)) answers.push(message);
    else void stub.link.send(respond(message, 200, { value: 'me' }));
    told();
  });
  const ask = (id: number): void => { void stub.link.send({ id, type: 'read', from: parseAddress('hyperty://example.com/a'), to: parseAddress('hyperty://example.com/b'), body: { value: id } }); };
  ask(1);
  await until(() => answers.length === 1);
  t.match(answers[0], { id: 1, to: 'hyperty://example.com/a', body: { code: 200, value: 'carried' } });
  t.same(heard, ['me', 1]);
  t.same(states, ['created', 'in-progress', 'live']);
  sockets[0]!.terminate();
  await until(() => states.length === 6);
  t.same(states.slice(3), ['disconnected', 'in-progress', 'live'], 'its own timer connects again');
  t.ok(lines.some((line) => line === `box: ${url}: the runtime answered me`), 'its console goes to the log, under its address');
});

await t.test('network capabilities reach the stub\'s own servers and no others', async (t) => {
  const elsewhere = createServer((_request, response) => { response.end('not to be seen'); });
  const there = await listen(t, elsewhere);
  const http = createServer((request: IncomingMessage, response: ServerResponse) => {
    const [, to] = (request.url ?? '').split('/to/');
    if (to !== undefined) response.writeHead(307, { location: to === 'elsewhere' ? `http://${there}/` : `/${to}` }).end();
    else request.setEncoding('utf8').toArray().then((body) => { response.end(`${request.method ?? ''} ${body.join('')}`); }, () => { response.destroy(); });
  });
  const here = await listen(t, http);
  new WebSocketServer({ server: http }).on('connection', (socket) => { socket.on('message', (data: Buffer, binary) => { socket.send(data, { binary }); }); });
  const tcp = await listen(t, createTcpServer((socket) => { socket.on('error', () => undefined).pipe(socket); }));
  const { sandbox, lines } = await start(t);
  const all: readonly Capability[] = ['http', 'websocket', 'tcp'];
  const own = (body: string): Promise<unknown> => run(sandbox, all, [here, tcp], body);

  t.same(await own(`return (await fetch('http://${here}/x', { method: 'POST', body: 'hi' })).text();`), { value: 'POST hi' });
  t.same(await own(`return (await fetch('http://${here}/to/x', { method: 'POST', body: 'again' })).text();`), { value: 'POST again' }, 'a redirection within');
  t.match(await own(`return (await fetch('http://${here}/to/elsewhere')).text();`), { value: undefined, thrown: 'E_REFUSED' });
  t.match(await own(`return (await fetch('http://${there}/')).text();`), { thrown: 'E_REFUSED' });
  t.match(await own(`return (await fetch({ toString: () => 'http://${there}/' })).text();`), { thrown: 'E_REFUSED' });
  t.match(await own(`return (await fetch('file:///etc/hostname')).text();`), { thrown: 'E_USAGE' });

  const socket = (at: string): string => `return new Promise((done) => {
    const socket = new WebSocket('ws://${at}/');
    socket.binaryType = 'arraybuffer';
    const got = [];
    socket.addEventListener('open', () => { socket.send('text'); socket.send(new Uint8Array([1, 2])); });
    socket.onmessage = ({ data }) => {
      got.push(typeof data === 'string' ? data : [...new Uint8Array(data)]);
      if (got.length === 2) socket.close(1000, 'enough');
    };
    socket.onclose = ({ code }) => done([...got, code]);
  });`;
  t.same(await own(socket(here)), { value: ['text', [1, 2], 1000] });
  t.same(await own(socket(there)), { value: [1006] });
  t.same(await own('return [sandbox.WebSocket === WebSocket, sandbox.fetch === fetch];'), { value: [true, true] });

  const bytes = (at: string): string => `return new Promise((done) => {
    const socket = new sandbox.TcpSocket('tcp://${at}');
    socket.onopen = () => socket.send('bytes');
    socket.onmessage = ({ data }) => { socket.heard = new TextDecoder().decode(data); socket.close(); };
    socket.onclose = () => done(socket.heard ?? 'never open');
  });`;
  t.same(await own(bytes(tcp)), { value: 'bytes' });
  t.same(await own(bytes(there)), { value: 'never open' });
  t.ok(lines.filter((line) => line.includes(`refused a connection to ${there}`)).length === 5, 'each refusal is logged');
});

await t.test('what a stub wasn\'t granted isn\'t there, as a property or as a global', async (t) => {
  const { sandbox } = await start(t);
  const look = 'return [sandbox.fetch, sandbox.WebSocket, sandbox.TcpSocket, sandbox.webrtc, globalThis.fetch, globalThis.WebSocket, globalThis.RTCPeerConnection].map((thing) => typeof thing).join(" ");';
  t.same(await run(sandbox, [], [], look), { value: Array(7).fill('undefined').join(' ') });
  t.same(await run(sandbox, ['http'], [], look), { value: 'function undefined undefined undefined function undefined undefined' });
  t.same(await run(sandbox, ['webrtc'], [], look), { value: 'undefined undefined undefined object undefined undefined function' });
});

await t.test('the platform\'s own WebRTC classes connect', async (t) => {
  const { sandbox } = await start(t);
  const connect = (): Promise<unknown> => run(sandbox, ['webrtc'], [], `
    const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection({ iceServers: [] })];
    a.onicecandidate = ({ candidate }) => { if (candidate) b.addIceCandidate(candidate); };
    b.onicecandidate = ({ candidate }) => { if (candidate) a.addIceCandidate(candidate); };
    const heard = new Promise((done) => { b.ondatachannel = ({ channel }) => { channel.onmessage = ({ data }) => done(data); }; });
    const channel = a.createDataChannel('x');
    channel.onopen = () => channel.send('over WebRTC');
    await a.setLocalDescription(await a.createOffer());
    await b.setRemoteDescription(a.localDescription);
    await b.setLocalDescription(await b.createAnswer());
    await a.setRemoteDescription(b.localDescription);
    const value = await heard;
    a.close();
    b.close();
    return value;`);
  // In a few of a hundred times the library takes no candidate of a description; another connection works.
  const isRace = (result: unknown): boolean => /without ICE transport/.test((result as { readonly message?: string }).message ?? '');
  let result = await connect();
  for (let again = 0; again < 3 && isRace(result); again += 1) result = await connect();
  t.same(result, { value: 'over WebRTC' });
});

await t.test('what harms nobody is there: the language, and of the web platform what isn\'t the network', async (t) => {
  const { sandbox } = await start(t);
  t.same(await run(sandbox, [], [], `
    const { signal } = new AbortController();
    class Own extends EventTarget {}
    class Failure extends Error { constructor(text) { super(text); this.name = 'Failure'; } }
    const heard = await new Promise((done) => { const own = new Own(); own.addEventListener('x', ({ type }) => done(type)); own.dispatchEvent(new Event('x')); });
    await new Promise((done) => { setTimeout(() => queueMicrotask(done), 1); });
    const timer = setInterval(() => undefined, 1000);
    clearInterval(timer);
    return [
      new URL('http://a.example/b').host, new URLSearchParams('a=b').get('a'), new TextDecoder().decode(new TextEncoder().encode('ü')), atob(btoa('x')),
      crypto.getRandomValues(new Uint8Array(4)).length, crypto.randomUUID().length, performance.now() > 0, signal.aborted, heard, new Failure('x').name, typeof timer,
    ];`), { value: ['a.example', 'b', 'ü', 'x', 4, 36, true, false, 'x', 'Failure', 'number'] });
});

await t.test('the web platform of the realm means what it means elsewhere', async (t) => {
  const { sandbox } = await start(t);
  const source = `
    const url = new URL('../c?x=1#y', 'https://user@a.example:8443/a/b');
    url.searchParams.append('z', 'ä &');
    url.port = '1';
    const decoder = new TextDecoder('utf-8', { fatal: true });
    const bytes = new TextEncoder().encode('\uFEFFaü€😀');
    const pieces = [...bytes].map((byte) => decoder.decode(Uint8Array.of(byte), { stream: true })).join('') + decoder.decode();
    let invalid;
    try { new URL('nonsense'); } catch (error) { invalid = error.name; }
    let broken;
    try { decoder.decode(Uint8Array.of(0xff)); } catch (error) { broken = error.name; }
    const into = [0, 1, 4, 5, 6, 9, 10, 12].map((size) => {
      const room = new Uint8Array(size);
      const { read, written } = new TextEncoder().encodeInto('\uFEFFaü€😀', room);
      return [size, read, written, ...room].join();
    });
    const odd = ['a\\0b', '\\0', '\\u0001x', '\\uFEFFlonger than a few bytes'].flatMap((text) => [[...new TextEncoder().encode(text)].join(), JSON.stringify(new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(text)))]);
    const controller = new AbortController();
    const aborted = new Promise((done) => { controller.signal.addEventListener('abort', () => done(controller.signal.reason)); });
    controller.abort('enough');
    return [url.href, url.host, [...new URLSearchParams('?a=1&a=2&b=%20+')].join(';'), String(new URLSearchParams({ q: 'a b&c' })), pieces, invalid, broken, into.join(' '), ...odd, await aborted, btoa('\xff'), atob('/w==') === '\xff', URL.canParse('x:')];`;
  const expected = await Object.getPrototypeOf(async () => undefined).constructor(source)() as unknown;
  t.same(await run(sandbox, [], [], source), { value: expected });
});

for (const ours of [false, true]) {
  await t.test(`a stub of a domain that nobody has added reaches no server that DNS puts into this network: ${ours ? 'natively' : 'in the interpreter'}`, async (t) => {
    let visits = 0;
    const server = createServer((_request, response) => { response.end('inside'); });
    server.on('connection', () => { visits += 1; });
    const here = (await listen(t, server)).replace('127.0.0.1', 'localhost');
    const sandbox = await processSandbox({ log: () => undefined })('box', { ours });
    t.teardown(() => sandbox.close());
    const source = `export default (url, bus, config, sandbox) => {
      const ws = new Promise((done) => { const socket = new sandbox.WebSocket('ws://${here}/'); let why = ''; socket.onerror = ({ message }) => { why = message; }; socket.onclose = () => done(why); });
      const tcp = new Promise((done) => { const socket = new sandbox.TcpSocket('tcp://${here}'); socket.onopen = () => socket.close(); socket.onclose = ({ reason }) => done(reason); });
      const http = sandbox.fetch('http://${here}/', { method: 'POST', body: 'x' }).then((response) => response.text(), (error) => 'failed: ' + (error.cause ?? error).message);
      Promise.all([ws, tcp, http]).then((value) => bus.postMessage({ type: 'update', from: url, to: config.runtimeURL, body: { value } }));
      return { name: 's', instance: {} };
    };`;
    const heard = async (publicOnly: boolean): Promise<unknown> => {
      const stub = await sandbox.deploy({ url: `${url}${String(++counter)}` as Address, source, config: { runtimeURL }, capabilities: ['websocket', 'tcp', 'http'], servers: [here], publicOnly });
      const message = await new Promise<Message>((resolve) => { stub.link.receive(resolve); });
      await stub.undeploy();
      return message.body?.value;
    };
    t.match(await heard(true), [/its address is/, /its address is/, /^failed: .*its address is/]);
    t.equal(visits, 0);
    t.match(await heard(false), [String, String, 'inside']);
  });
}
