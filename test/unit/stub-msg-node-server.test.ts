import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { DomainServer } from '../../src/domain-server/index.js';
import rest from '../../src/protostubs/msg-node-rest/index.js';
import websocket from '../../src/protostubs/msg-node-websocket/index.js';
import { child, parseAddress, systemClock, type Address, type Message, type Request, type StubInstance, type WebSocketLike } from '../../src/protocol/index.js';
import { memoryStore } from '../../src/store/index.js';
import { startServer } from '../support/domain-server.js';
import { clock, log, TestBus } from '../support/stub-harness.js';

/** The protocols of one message node. */
const WAYS = {
  'WebSocket': { activate: websocket, path: '/ws', scheme: 'ws', config: {} },
  'REST with an event stream': { activate: rest, path: '/rest', scheme: 'http', config: { receive: 'stream' } },
  'REST with long polling': { activate: rest, path: '/rest', scheme: 'http', config: { receive: 'poll' } },
} as const;
type Way = keyof typeof WAYS;
const PAIRS: readonly (readonly [Way, Way])[] = [
  ['WebSocket', 'REST with an event stream'], ['REST with an event stream', 'REST with long polling'], ['REST with long polling', 'WebSocket'], ['REST with an event stream', 'REST with an event stream'],
];

class Peer {
  readonly bus = new TestBus();
  readonly runtime: Address;
  readonly instance: StubInstance;
  /** Values of received messages, in order. */
  readonly came: unknown[] = [];
  #ids = 0;

  constructor(t: Test, name: string, way: Way, url: string) {
    const { activate, path, scheme, config } = WAYS[way];
    this.runtime = parseAddress(`hyperty-runtime://a.example/${name}`);
    this.bus.onPost = (message) => { this.#take(message); };
    const sandbox = { clock, log, WebSocket: WebSocket as unknown as typeof WebSocketLike, createSyncher: () => { throw new Error('not used'); } };
    const { instance } = activate(child(this.runtime, 'protostub/a'), this.bus, { runtimeURL: this.runtime, url: `${url.replace('http', scheme)}${path}`, release: true, ...config }, sandbox);
    this.instance = instance;
    t.teardown(() => instance.close?.());
  }

  note(to: Peer, value: unknown): Request {
    return { id: ++this.#ids, type: 'update', from: child(this.runtime, 'x'), to: child(to.runtime, 'x'), body: { value } };
  }

  /** Opens the session. */
  async start(): Promise<this> {
    void this.bus.give({ id: 'ping', type: 'ping', from: this.runtime, to: parseAddress('domain://a.example') });
    await this.bus.status('live');
    return this;
  }

  /** Sends numbers as fast as the stub takes them. */
  async sendAll(to: Peer, count: number, size = 0): Promise<void> {
    const padding = 'x'.repeat(size);
    for (let n = 0; n < count; n += 1) {
      const message = this.note(to, n);
      await this.bus.give(size === 0 ? message : { ...message, body: { ...message.body, padding } });
    }
  }

  #take(message: Message): void {
    if (message.id === 'ping') return;
    this.came.push(message.type === 'response' ? message.body : message.body?.value);
    this.bus.watch.poke();
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

for (const [one, other] of PAIRS) {
  await t.test(`both ways at once between ${one} and ${other}, more than fits anywhere: all comes, once and in order`, async (t) => {
    const { url } = await startServer(t);
    const a = await new Peer(t, 'ra', one, url).start();
    const b = await new Peer(t, 'rb', other, url).start();
    await Promise.all([a.sendAll(b, 5000, 2000), b.sendAll(a, 5000, 2000)]);
    await a.bus.watch.until(() => a.came.length === 5000, 'everything at a', 25_000);
    await b.bus.watch.until(() => b.came.length === 5000, 'everything at b', 25_000);
    t.strictSame(a.came, upTo(5000));
    t.strictSame(b.came, upTo(5000));
  });
}

for (const way of ['WebSocket', 'REST with an event stream', 'REST with long polling'] as const) {
  await t.test(`SES-3: over ${way} a session is resumed when the domain server was restarted, and goes on`, async (t) => {
    // A stub that waits for its next attempt doesn't keep a process alive.
    const alive = setInterval(() => undefined, 1000);
    t.teardown(() => { clearInterval(alive); });
    const store = memoryStore();
    const first = await startServer(t, {}, store);
    const port = Number(new URL(first.url).port);
    const a = await new Peer(t, 'ra', way, first.url).start();
    const b = await new Peer(t, 'rb', way, first.url).start();
    await a.sendAll(b, 10);
    await b.bus.watch.until(() => b.came.length === 10, 'the first');
    for (const { bus } of [a, b]) bus.statuses.length = 0;
    await first.server.close();
    await Promise.all([a, b].map(({ bus }) => bus.status('disconnected')));
    const second = new DomainServer({ store, clock: systemClock, log: () => undefined }, { name: 'a.example', allowUnauthenticated: true, listen: { host: '127.0.0.1', port } });
    await second.start();
    t.teardown(() => second.close());
    t.strictSame(await Promise.all([a, b].map(async ({ bus }) => (await bus.status('live')).body['session'])), ['resumed', 'resumed']);
    for (let n = 10; n < 20; n += 1) await a.bus.give(a.note(b, n));
    await b.bus.watch.until(() => b.came.length === 20, 'the rest');
    t.strictSame(b.came, upTo(20));
  });

  await t.test(`SES-4: over ${way} a runtime that stops for good leaves nothing behind`, async (t) => {
    const { url } = await startServer(t);
    const a = await new Peer(t, 'ra', way, url).start();
    const b = await new Peer(t, 'rb', way, url).start();
    await b.instance.close?.();
    void a.bus.give(a.note(b, 1));
    await a.bus.watch.until(() => a.came.length === 1, 'the answer');
    t.match(a.came, [{ code: 404 }]);
  });
}
