import t from 'tap';
import type { Link } from '../../src/link/index.js';
import { DELIVERY, isResponse, parseAddress, ProtoflyError, refuse, unbatched, isBatch, type Message, type RegistryRecord, type Request, type Response } from '../../src/protocol/index.js';
import { Outgoing, Receipts, type Carrier, routeRequest } from '../../src/runtime/delivery/index.js';
import { Inbox, type Stored } from '../../src/runtime/hyperties/inbox/index.js';
import { Outbox, type KeptMessage, type KeptPair } from '../../src/runtime/delivery/outbox/index.js';
import { ConnectionList } from '../../src/runtime/p2p/connection-list.js';
import { P2pConnection } from '../../src/runtime/p2p/p2p-connection.js';
import { Probation } from '../../src/runtime/p2p/probation.js';
import { RouteFinder, type RouteFinderComponents } from '../../src/runtime/routing/route-finder.js';
import { memoryStore } from '../../src/store/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const ALICE = parseAddress('hyperty://localhost/alice');
const BOB = parseAddress('hyperty://localhost/bob');
const A = parseAddress('hyperty-runtime://localhost/a');
const B = parseAddress('hyperty-runtime://localhost/b');
const WHY = 'acknowledges nothing, though the message node does';
const record: RegistryRecord = { url: BOB, runtime: B, delivery: DELIVERY, dataSchemes: [], resources: [], status: 'live', expires: 3600 };
const quiet = (): void => undefined;

/** The message node as a carrier. Its messages arrive, unless it is deaf. */
class Node implements Carrier {
  readonly kind = 'msg-node';
  readonly address = parseAddress('hyperty-runtime://localhost/a/protostub/localhost');
  readonly values: unknown[] = [];
  isAway = false;
  isDeaf = false;
  constructor(private readonly arrive: (message: Message) => void) {}
  send(message: Message): void {
    this.values.push(message.body?.value);
    if (!this.isDeaf) this.arrive(message);
  }
}

/**
 * Alice's delivery, routes and connections, and bob's inbox. A connection is `good`, drops its messages
 * (`deaf`), or has them refused as belonging to no connection (`unknown`).
 */
class World {
  readonly clock = new ManualClock();
  readonly taken: unknown[] = [];
  /** Answers to alice's programs: id and path, or code. */
  readonly heard: string[] = [];
  readonly changes: string[] = [];
  readonly pings: string[] = [];
  over: 'good' | 'deaf' | 'unknown' = 'deaf';
  /** True if bob's runtime answers pings. */
  answersPings = true;
  /** True if bob's program takes messages. */
  takes = true;
  readonly #receipts = new Receipts({ reply: (receipt) => { this.#toAlice(receipt); } });
  readonly #inbox = new Inbox({ stored: memoryStore().collection<Stored>('inbox'), clock: this.clock, receipts: this.#receipts, reply: (refusal) => { this.#toAlice(refusal); }, log: quiet }, { address: BOB });
  readonly node = new Node((message) => { this.#arrive(message, 'msg-node'); });
  readonly list = new ConnectionList({ clock: this.clock, log: quiet, onOver: quiet, intake: { lost: (carrier) => { this.outgoing.lost(carrier); this.outbox.lost(carrier); } } });
  readonly probation = new Probation({ clock: this.clock, list: this.list, ping: (runtime, path) => this.#ping(runtime, path) });
  readonly outgoing: Outgoing;
  readonly outbox: Outbox;
  #attachment = this.#inbox.attach({ deliver: (message) => { this.#deliver(message); }, window: 10_000 });
  #delivered = 0;
  #added = 0;
  #id = 0;

  constructor() {
    const routes = new RouteFinder({
      records: { known: () => record, last: () => record }, hyperties: { find: () => undefined },
      nodes: { carrier: () => this.node, isAway: () => this.node.isAway, wasLive: () => true },
      connections: { live: (runtime: typeof B) => this.list.live(runtime), suspect: (runtime: typeof B) => this.list.suspect(runtime), missed: (runtime: typeof B) => { this.probation.missed(runtime); } },
    } as unknown as RouteFinderComponents, { runtime: A });
    this.routes = routes;
    const reply = (response: Response): void => { this.#hear(response); };
    const onMute = (carrier: Carrier): void => { if (carrier instanceof P2pConnection) this.probation.acknowledgesNothing(carrier); };
    this.outgoing = new Outgoing({ clock: this.clock, routes: routes, reply, onMute }, { epoch: 'e' });
    const store = memoryStore();
    this.outbox = new Outbox({
      clock: this.clock, routes: routes, reply, onMute, log: quiet,
      messages: store.collection<KeptMessage>('outbox'), pairs: store.collection<KeptPair>('pairs'),
    }, { epoch: 's' });
    this.list.onChange((change) => {
      if (change.now === 'live' || change.was === 'live') this.changes.push(`${change.now}: ${change.reason ?? ''}`);
      this.probation.changed(change);
    });
  }

  readonly routes: RouteFinder;

  /** Adds a connection, as its stub reports it. */
  connect(generation = 1, health?: 'good'): P2pConnection {
    this.#added += 1;
    const address = parseAddress(`${A}/p2prequester/${String(this.#added)}`);
    const connection = this.list.add(new P2pConnection({ clock: this.clock }, { address, stub: address, role: 'requester', remoteRuntime: B, generation }));
    connection.link = { send: (message: Message) => { this.#carried(message, connection); } } as unknown as Link<Message>;
    this.list.step(connection, 'in-progress');
    this.list.step(connection, 'live', undefined, { generation, ...(health === undefined ? {} : { health }) });
    return connection;
  }

  async send(body: Record<string, unknown> = {}, from = ALICE): Promise<void> {
    this.#id += 1;
    const message: Request = { id: this.#id, type: 'create', from, to: BOB, body: { value: this.#id, expect: 'receipt', ...body } };
    if (body['store'] === true) void this.outbox.send(message, BOB);
    else void this.outgoing.send(message, BOB, await this.routes.route(routeRequest(message, BOB)));
    await turns(3);
  }

  /** Lets time pass in small steps. */
  async pass(milliseconds: number): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += 100) {
      this.clock.advance(100);
      await turns(3);
    }
  }

  /** Bob's program takes delivered messages, and further ones. */
  async take(): Promise<void> {
    this.takes = true;
    this.#attachment.taken(this.#delivered);
    await turns(3);
  }

  close(): void {
    this.outgoing.close();
    this.outbox.close();
    this.#inbox.close();
  }

  #carried(message: Message, connection: P2pConnection): void {
    if (this.over === 'good') this.#arrive(message, 'p2p');
    else if (this.over === 'unknown') {
      queueMicrotask(() => {
        const refusal = refuse(message as Request, new ProtoflyError('E_UNREACHABLE', `no P2P connection with ${A} is known here`));
        connection.brought(refusal);
        this.#toAlice(refusal);
      });
    }
  }

  #arrive(message: Message, path: 'p2p' | 'msg-node'): void {
    if (isResponse(message)) return;
    queueMicrotask(() => { for (const one of isBatch(message) ? unbatched(message) : [message]) this.#inbox.receive(one, { path }); });
  }

  #deliver(message: Message): void {
    if (isResponse(message)) return;
    this.taken.push(message.body?.value);
    this.#delivered += 1;
    if (this.takes) queueMicrotask(() => { this.#attachment.taken(this.#delivered); });
  }

  #toAlice(response: Response): void {
    const kept = this.outbox.settle(response);
    for (const one of kept ?? [this.outgoing.settle(response)]) if (one !== undefined) this.#hear(one);
  }

  #hear({ id, body: { code, path, receiptOf } }: Response): void {
    for (const one of Array.isArray(receiptOf) ? receiptOf as number[] : [id]) this.heard.push(`${String(one)} ${typeof path === 'string' ? path : String(code)}`);
  }

  #ping(runtime: string, path: 'p2p' | 'msg-node'): Promise<boolean> {
    this.pings.push(`${path} at ${String(this.clock.now() - 1_000_000)}`);
    if (runtime !== B) throw new Error('another runtime');
    return Promise.resolve(this.answersPings && (path === 'p2p' ? this.over === 'good' : !this.node.isDeaf));
  }
}

const world = (): World => {
  const made = new World();
  t.teardown(() => { made.close(); });
  return made;
};

for (const health of ['good', undefined] as const) {
  t.test(`P2P-16 a live connection that drops everything loses the traffic within seconds, ${health === undefined ? 'whatever its stub can tell' : 'however good its stub finds it'}`, async (t) => {
    const here = world();
    const connection = here.connect(1, health);
    await here.send();
    await here.send({}, parseAddress('hyperty://localhost/other'));
    t.same(here.heard, []);
    await here.pass(4500);
    t.same(here.heard, ['1 msg-node', '2 msg-node']);
    t.match(connection.view(), { status: 'live', health: 'suspect', reason: WHY });
    t.same(here.changes, ['live: ', `live: suspect: ${WHY}`]);
    const before = here.node.values.length;
    await here.send();
    t.equal(here.node.values.length, before + 1, 'new messages take the message node at once');
    t.same(here.taken, [1, 2, 3]);
  });
}

t.test('P2P-16 what is stored for an absent receiver loses no time either', async (t) => {
  const here = world();
  const connection = here.connect();
  await here.send({ store: true });
  await here.pass(4500);
  t.same(here.heard, ['1 msg-node']);
  t.equal(connection.view()['reason'], WHY);
});

t.test('P2P-16 a refusal because the connection isn\'t known there has the message take the other route at once', async (t) => {
  for (const store of [false, true]) {
    const here = world();
    here.over = 'unknown';
    const connection = here.connect();
    await here.send({ store });
    await here.send({ store });
    await here.pass(store ? 4500 : 1500);
    t.same(here.heard.filter((one) => !one.endsWith('202')), ['1 msg-node', '2 msg-node']);
    t.equal(connection.view()['reason'], WHY);
    t.same(here.taken, [1, 2]);
  }
});

t.test('P2P-16 without another route a message is sent again over the same connection, and nothing is held against that', async (t) => {
  const here = world();
  here.node.isAway = true;
  const connection = here.connect();
  await here.send();
  await here.pass(5000);
  t.same(here.node.values, []);
  here.over = 'good';
  await here.pass(8000);
  t.same(here.heard, ['1 p2p']);
  t.equal(here.list.live(B), connection);
});

t.test('P2P-16 messages that must, or must not, go over P2P don\'t change that', async (t) => {
  const here = world();
  here.connect();
  await here.send({ p2p: 'require' });
  await here.pass(10_000);
  t.same(here.node.values, []);
  const other = world();
  other.over = 'good';
  other.node.isDeaf = true;
  other.connect();
  await other.send({ p2p: false });
  await other.pass(10_000);
  t.same([other.heard, other.taken], [[], []]);
});

t.test('P2P-16 a program that takes nothing for long: both routes are tried, the connection stays', async (t) => {
  const here = world();
  here.over = 'good';
  here.takes = false;
  const connection = here.connect();
  for (let n = 0; n < 5; n += 1) await here.send();
  await here.pass(15_000);
  t.equal(here.node.values.length, 5, 'sent again once by the message node, and once more over the connection');
  for (let n = 0; n < 5; n += 1) await here.send();
  await here.take();
  await here.pass(2000);
  t.same(here.heard.filter((one) => !one.endsWith('p2p')), []);
  t.equal(here.heard.length, 10);
  t.same(here.taken, Array.from({ length: 10 }, (_, index) => index + 1));
  t.same(here.changes, ['live: ']);
  t.equal(here.list.live(B), connection);
});

t.test('P2P-16 a message node that brings no receipts loses what is in flight to a connection, even a suspect one', async (t) => {
  const here = world();
  here.over = 'good';
  const connection = here.connect(1, 'good');
  here.list.step(connection, 'live', 'silent', { health: 'suspect' });
  here.node.isDeaf = true;
  await here.send();
  t.same(here.node.values, [1]);
  await here.pass(4500);
  t.same(here.heard, ['1 p2p']);
});

t.test('P2P-16 a doubted connection carries again when a ping over it is answered; pings follow traffic, with growing pauses', async (t) => {
  const here = world();
  const connection = here.connect();
  await here.send();
  await here.pass(4500);
  t.equal(here.pings.length, 1, 'the first ping goes at once');
  await here.pass(60_000);
  t.equal(here.pings.length, 1, 'without traffic there is none');
  for (let n = 0; n < 60; n += 1) {
    await here.send();
    await here.pass(1000);
  }
  t.equal(here.pings.length, 6, here.pings.join(', '));
  t.ok(here.heard.every((one) => one.endsWith('msg-node')));
  here.over = 'good';
  for (let n = 0; n < 40 && here.list.live(B) === undefined; n += 1) {
    await here.send();
    await here.pass(1000);
  }
  t.equal(here.list.live(B), connection);
  t.equal(connection.view()['reason'], undefined);
  await here.send();
  t.match(here.heard.at(-1), /p2p$/);
});

t.test('P2P-16 a peer that answers pings and drops the rest costs less and less', async (t) => {
  const here = world();
  const connection = here.connect();
  connection.link = { send: () => undefined } as unknown as Link<Message>;
  here.over = 'good';
  for (let n = 0; n < 300; n += 1) {
    await here.send();
    await here.pass(1000);
  }
  await here.pass(5000);
  const doubts = here.changes.filter((change) => change.includes(WHY)).length;
  t.ok(doubts >= 3 && doubts <= 10, `${String(doubts)} times in five minutes`);
  t.same(here.taken, Array.from({ length: 300 }, (_, index) => index + 1));
});

t.test('P2P-16 the next connection, and the next generation, have to answer a ping first', async (t) => {
  const here = world();
  const first = here.connect();
  await here.send();
  await here.pass(4500);
  here.list.step(first, 'live', undefined, { generation: 2 });
  await turns(3);
  t.equal(here.pings.length, 2, 'another generation is pinged at once');
  t.equal(first.view()['reason'], WHY);
  here.list.step(first, 'disconnected', 'gone');
  const second = here.connect(3);
  await turns(3);
  t.equal(here.pings.length, 3);
  t.equal(here.list.live(B), undefined, 'it carries nothing');
  t.match(second.view(), { health: 'suspect', reason: WHY });
  here.over = 'good';
  const third = here.connect(4);
  await turns(3);
  t.equal(here.list.live(B), third);
  t.equal(second.doubt, undefined, 'whoever stands behind it gets another chance');
  here.list.step(third, 'disconnected', 'gone');
  t.equal(here.list.live(B), second);
});

t.test('P2P-16 what wants no receipt: a connection over which nothing comes back is compared with the message node', async (t) => {
  for (const [over, answersPings, doubted] of [['deaf', true, true], ['good', true, false], ['deaf', false, false]] as const) {
    const here = world();
    here.over = over;
    here.answersPings = answersPings;
    const connection = here.connect();
    for (let n = 0; n < 120; n += 1) {
      if (here.list.live(B) === connection) void connection.send({ id: n, type: 'create', from: ALICE, to: BOB, body: { value: n } });
      await here.pass(500);
    }
    t.equal(connection.view()['reason'], doubted ? 'answers nothing, though the message node does' : undefined);
    t.ok(here.pings.length <= 14, `${over}: ${here.pings.join(', ')}`);
    t.ok(here.pings.length > 0);
  }
});

t.test('P2P-16 no more runtimes are remembered than there is room for', async (t) => {
  const clock = new ManualClock();
  const list = new ConnectionList({ clock, log: quiet, intake: { lost: quiet }, onOver: quiet });
  const probation = new Probation({ clock, list, ping: () => Promise.resolve(false) }, { maxRemembered: 2 });
  list.onChange((change) => { probation.changed(change); });
  const connections = [1, 2, 3].map((n) => {
    const address = parseAddress(`${A}/p2prequester/${String(n)}`);
    const connection = list.add(new P2pConnection({ clock }, { address, stub: address, role: 'requester', remoteRuntime: parseAddress(`hyperty-runtime://localhost/r${String(n)}`), generation: 1 }));
    connection.link = {} as unknown as Link<Message>;
    list.step(connection, 'in-progress');
    list.step(connection, 'live');
    probation.acknowledgesNothing(connection);
    return connection;
  });
  await turns(2);
  t.same(connections.map(({ isSuspect }) => isSuspect), [false, true, true], 'the one that is forgotten carries again');
});
