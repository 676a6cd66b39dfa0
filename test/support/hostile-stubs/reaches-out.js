/** Tries many ways out of its realm and reports what it got. The list should be empty. */
const got = [];
const attempt = async (name, run) => {
  try {
    const result = await run();
    if (result !== undefined && result !== null && result !== false) got.push(`${name}: ${typeof result} ${String(result).slice(0, 60)}`);
  } catch {
    // Refused, as it should be.
  }
};

export default function activate(url, bus, config, sandbox) {
  const things = { bus, config, sandbox, post: bus.postMessage, clock: sandbox.clock, log: sandbox.log, setTimeout, console, URL, EventTarget, crypto, WebSocket, TcpSocket: sandbox.TcpSocket, fetch, syncher: Object.getPrototypeOf(sandbox.createSyncher()) };
  const roots = Object.values(things);

  const all = async () => {
    for (const name of ['process', 'require', 'module', 'global', 'Buffer', '__dirname', 'setImmediate', 'Deno']) await attempt(`global ${name}`, () => globalThis[name]);
    for (const name of ['fs', 'node:fs', 'node:child_process', 'node:net', 'node:vm', 'node:worker_threads', 'ws', 'node-datachannel', 'data:text/javascript,export default 1', 'file:///etc/hostname', '/etc/hostname']) {
      await attempt(`import ${name}`, () => import(name));
    }
    for (const [name, thing] of Object.entries(things)) {
      await attempt(`function of ${name}`, () => thing.constructor.constructor('return process')());
      await attempt(`constructor of ${name}`, () => thing.constructor('return process')());
    }
    const asyncFunction = Object.getPrototypeOf(async () => undefined).constructor;
    await attempt('async function', () => asyncFunction('return process')());
    const { constructor: hostFunction } = bus.postMessage;
    await attempt('host function', () => hostFunction('return process')());
    await attempt('host async function', async () => Object.getPrototypeOf(sandbox.fetch).constructor('return process')());
    await attempt('eval', () => (0, eval)('globalThis.process ?? 1'));
    await attempt('wasm', () => new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])));
    await attempt('import.meta', () => Object.keys(import.meta)[0] ?? import.meta.resolve);

    await attempt('call sites', () => {
      Error.prepareStackTrace = (_error, sites) => sites.map((site) => site.getThis() ?? site.getFunction()).find((found) => found !== undefined);
      return new Error('where').stack;
    });
    await attempt('host call sites', () => {
      const HostError = (() => { try { new URL('nonsense'); } catch (error) { return Object.getPrototypeOf(error.constructor.prototype).constructor; } return undefined; })();
      HostError.prepareStackTrace = (_error, sites) => sites.map((site) => site.getThis() ?? site.getFunction()).find((found) => found !== undefined);
      return new HostError('where').stack;
    });
    await attempt('caller', () => { const found = bus.postMessage.caller ?? bus.postMessage.arguments; return found; });

    // Objects shared with the sandbox's own realm can't be changed.
    for (const root of roots) {
      for (let thing = root; thing !== null && thing !== undefined; thing = Object.getPrototypeOf(thing)) {
        if (thing === Object.prototype || thing === Function.prototype) break;
        const name = 'polluted';
        const holder = thing;
        await attempt('change a prototype', () => Reflect.set(holder, name, 1));
        await attempt('define on a prototype', () => Reflect.defineProperty(holder, 'then', { value: 1 }));
        if (Object.getPrototypeOf(holder) !== null && Reflect.setPrototypeOf(holder, null)) { got.push('another prototype'); break; }
      }
    }
    const hostObject = Object.getPrototypeOf(config);
    await attempt('trap for what others set', () => Reflect.defineProperty(hostObject, '_socket', { set() { got.push('a socket'); } }));
    await attempt('host array', () => Reflect.set(Object.getPrototypeOf(structuredClone([])), 'push', () => { got.push('push'); }));
    await attempt('host function call', () => Reflect.set(Object.getPrototypeOf(bus.postMessage), 'call', () => { got.push('call'); }));

    // No internals are reachable from the given objects.
    for (const root of roots) {
      await attempt('hidden', () => Reflect.ownKeys(root).find((key) => /^[_#]|raw|process|handle|link|mux/i.test(String(key))));
    }
    await attempt('undici', () => globalThis[Symbol.for('undici.globalDispatcher.1')]);
    await attempt('file by fetch', () => fetch('file:///etc/hostname'));
    await attempt('elsewhere by fetch', () => fetch('http://127.0.0.1:22/'));
    await attempt('elsewhere by WebSocket', () => new Promise((done) => { const socket = new WebSocket('ws://127.0.0.1:22/'); socket.onopen = () => done('open'); socket.onclose = () => done(); }));
    await attempt('elsewhere by TCP', () => new Promise((done) => { const socket = new sandbox.TcpSocket('tcp://127.0.0.1:22'); socket.onopen = () => done('open'); socket.onclose = () => done(); }));
    await attempt('an address that changes its mind', () => {
      let times = 0;
      const address = { toString: () => (++times === 1 ? `http://${config.own}/` : 'http://127.0.0.1:22/') };
      return fetch(address).then((response) => response.url.includes(':22') && response.url);
    });
    await attempt('URL that lies', () => {
      Object.defineProperty(URL.prototype, 'hostname', { get: () => '127.0.0.1' });
      return 'changed';
    });

    bus.postMessage({ id: 'report', type: 'update', from: url, to: config.runtimeURL, body: { value: got } });
  };
  void all();
  return { name: 'reaches-out', instance: {} };
}
