/** Tries many ways out of its realm and reports what it got. The list should be empty. */
const got = [];
const attempt = async (name, run) => {
  try {
    const result = await run();
    if (result !== undefined && result !== null && result !== false && result !== 'undefined') got.push(`${name}: ${typeof result} ${String(result).slice(0, 60)}`);
  } catch {
    // Refused, as it should be.
  }
};

const LOOK = 'return typeof process !== "undefined" && process || typeof require !== "undefined" && require || typeof globalThis.Buffer';

export default function activate(url, bus, config, sandbox) {
  const things = { bus, config, sandbox, post: bus.postMessage, clock: sandbox.clock, log: sandbox.log, setTimeout, console, URL, EventTarget, crypto, WebSocket, TcpSocket: sandbox.TcpSocket, fetch, syncher: Object.getPrototypeOf(sandbox.createSyncher()) };

  const all = async () => {
    for (const name of ['process', 'require', 'module', 'global', 'Buffer', '__dirname', 'setImmediate', 'Deno', '__host', 'WebAssembly', 'Atomics', 'std', 'os', 'scriptArgs']) await attempt(`global ${name}`, () => globalThis[name]);
    for (const name of ['fs', 'node:fs', 'node:child_process', 'node:net', 'node:vm', 'node:worker_threads', 'ws', 'node-datachannel', 'std', 'os', 'qjs:std', 'prelude', 'data:text/javascript,export default 1', 'file:///etc/hostname', '/etc/hostname']) {
      await attempt(`import ${name}`, () => import(name));
    }
    for (const [name, thing] of Object.entries(things)) {
      await attempt(`function of ${name}`, () => thing.constructor.constructor(LOOK)());
      await attempt(`constructor of ${name}`, () => thing.constructor(LOOK)());
      for (let holder = thing; holder !== null && holder !== undefined; holder = Object.getPrototypeOf(holder)) {
        for (const key of Reflect.ownKeys(holder)) {
          await attempt(`${name}.${String(key)}`, () => Reflect.getOwnPropertyDescriptor(holder, key).value?.constructor?.constructor?.(LOOK)());
          if (/^[_#]|raw|process|handle|link|mux|host/i.test(String(key)) && !['host', 'hostname'].includes(key) && !String(key).startsWith('__')) got.push(`hidden ${name}.${String(key)}`);
        }
      }
    }
    for (const makes of [async () => undefined, function* () { yield; }, async function* () { yield; }]) await attempt('another function', () => Object.getPrototypeOf(makes).constructor(LOOK)().next?.().value);
    await attempt('eval', () => (0, eval)(`(() => { ${LOOK} })()`));
    await attempt('import.meta', () => Object.keys(import.meta).find((key) => key !== 'url' && key !== 'main') ?? import.meta.resolve);
    await attempt('call sites', () => {
      Error.prepareStackTrace = (_error, sites) => sites.map?.((site) => site.getThis?.() ?? site.getFunction?.()).find((found) => found !== undefined);
      const { stack } = new Error('where');
      return typeof stack !== 'string' && stack;
    });
    await attempt('caller', () => bus.postMessage.caller ?? bus.postMessage.arguments);

    // Whatever a stub does to its own objects stays with it.
    for (const key of ['then', '_socket', 'dispatcher', 'toJSON']) await attempt(key, () => { Object.defineProperty(Object.prototype, key, { configurable: true, get() { return undefined; }, set() { got.push(`a trap: ${key}`); } }); });
    const { parse, stringify } = JSON;
    const seen = [];
    JSON.parse = (text, ...more) => { seen.push(text); return parse(text, ...more); };
    JSON.stringify = (thing, ...more) => { seen.push(thing); return stringify(thing, ...more); };
    await attempt('elsewhere by fetch', () => fetch('http://127.0.0.1:22/'));
    await attempt('file by fetch', () => fetch('file:///etc/hostname'));
    await attempt('elsewhere by WebSocket', () => new Promise((done) => { const socket = new WebSocket('ws://127.0.0.1:22/'); socket.onopen = () => done('open'); socket.onclose = () => done(); }));
    await attempt('elsewhere by TCP', () => new Promise((done) => { const socket = new sandbox.TcpSocket('tcp://127.0.0.1:22'); socket.onopen = () => done('open'); socket.onclose = () => done(); }));
    await attempt('an address that changes its mind', () => {
      let times = 0;
      const address = { toString: () => (++times === 1 ? `http://${config.own}/` : 'http://127.0.0.1:22/') };
      return fetch(address).then((response) => response.url.includes(':22') && response.url);
    });
    await attempt('a URL that lies', () => {
      Object.defineProperty(URL.prototype, 'hostname', { configurable: true, get: () => '127.0.0.1' });
      Object.defineProperty(URL.prototype, 'port', { configurable: true, get: () => config.own.split(':')[1] });
      return fetch(new URL('http://127.0.0.1:22/')).then(() => 'answered');
    });
    await attempt('what crosses the border', () => seen.find((thing) => typeof thing === 'function' || (typeof thing === 'object' && thing !== null && thing.constructor !== Object && !Array.isArray(thing))));
    JSON.parse = parse;
    JSON.stringify = stringify;
    for (const key of ['then', '_socket', 'dispatcher', 'toJSON']) Reflect.deleteProperty(Object.prototype, key);

    bus.postMessage({ id: 'report', type: 'update', from: url, to: config.runtimeURL, body: { value: got } });
  };
  void all();
  return { name: 'reaches-out', instance: {} };
}
