import fc from 'fast-check';
import t from 'tap';
import { Mailbox } from '../../src/domain-server/shard/mailbox/index.js';
import { asProtoflyError, parseAddress, ProtoflyError, refuse, respond, type Message, type Request, type Response } from '../../src/protocol/index.js';
import { Receipts, type Carrier, type RouteRequest } from '../../src/runtime/delivery/index.js';
import { Inbox, type KeptCheckpoint, type Stored } from '../../src/runtime/hyperties/inbox/index.js';
import { Outbox, type KeptMessage, type KeptPair, type OutboxInit } from '../../src/runtime/delivery/outbox/index.js';
import { memoryStore } from '../../src/store/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const carol = parseAddress('hyperty://example.com/carol');
const runtime = parseAddress('hyperty-runtime://example.com/a');
const POSITION_MS = 50;
const message = (id: number, to = bob, body: Record<string, unknown> = {}): Request => ({ id, type: 'create', from: alice, to, body: { value: id, expect: 'receipt', store: true, ...body } });

/** A clock whose timers end with its process. */
class LifeClock {
  readonly #clock: ManualClock;
  readonly #timers: { cancel(): void }[] = [];
  constructor(clock: ManualClock) {
    this.#clock = clock;
  }
  now(): number {
    return this.#clock.now();
  }
  date(): number {
    return this.#clock.date();
  }
  setTimeout(run: () => void, milliseconds: number): { cancel(): void } {
    const timer = this.#clock.setTimeout(run, milliseconds);
    this.#timers.push(timer);
    return timer;
  }
  end(): void {
    for (const timer of this.#timers.splice(0)) timer.cancel();
  }
}

class Lane implements Carrier {
  isAway = false;
  readonly address;
  messages: Message[] = [];
  constructor(readonly kind: 'p2p' | 'msg-node') {
    this.address = parseAddress(`hyperty-runtime://example.com/r/${kind}`);
  }
  send(sent: Message): void {
    this.messages.push(sent);
  }
}

/** Alice's outbox, a message node with its mailbox, bob's inbox, and a connection between the runtimes that comes and goes. */
class World {
  readonly clock = new ManualClock();
  readonly aliceStore = memoryStore();
  readonly nodeStore = memoryStore();
  readonly bobStore = memoryStore();
  readonly toNode = new Lane('msg-node');
  readonly direct = new Lane('p2p');
  toBob: Message[] = [];
  toAlice: Response[] = [];
  /** Receipts over the connection. */
  directToAlice: Response[] = [];
  nodeIsThere = true;
  bobIsThere = true;
  isDirect = false;
  lives = 0;
  last = 0;
  readonly taken: number[] = [];
  readonly answered = new Map<number, number[]>();
  readonly excused = new Set<number>();
  /** The first value of alice's current process. */
  #first = 1;
  #recent: { value: number; at: number }[] = [];
  #aliceClock = new LifeClock(this.clock);
  #nodeClock = new LifeClock(this.clock);
  #bobClock = new LifeClock(this.clock);
  outbox = this.#startAlice();
  mailbox = this.#startNode();
  inbox = this.#startBob();

  send(): void {
    this.last += 1;
    const { last } = this;
    try {
      void this.outbox.send(message(last), bob);
    } catch {
      this.answered.set(last, [507]);
    }
  }

  /** The node takes the next message. */
  node(): void {
    const next = this.toNode.messages.shift() as Request | undefined;
    if (next === undefined) return;
    if (this.bobIsThere && !this.mailbox.isHeld(bob)) {
      this.mailbox.deliver(bob);
      this.toBob.push(next);
      return;
    }
    const { mailbox } = this;
    let durable: Promise<void>;
    try {
      durable = mailbox.keep(next, bob, { runtime });
    } catch (thrown) {
      this.toAlice.push(refuse(next, asProtoflyError(thrown), bob));
      return;
    }
    void durable.then(() => { if (this.mailbox === mailbox) this.toAlice.push(respond(next, 202, { stored: 'domain' }, bob)); });
  }

  bob(): void {
    const next = this.toBob.shift();
    if (next !== undefined) this.inbox.receive(next, { path: 'msg-node' });
  }

  bobDirectly(): void {
    const next = this.direct.messages.shift();
    if (next !== undefined) this.inbox.receive(next, { path: 'p2p' });
  }

  alice(from: Response[]): void {
    const next = from.shift();
    // A program of an earlier process gets no more answers.
    for (const heard of (next && this.outbox.settle(next)) ?? []) if ((heard.id as number) >= this.#first) this.#answer(heard);
  }

  connect(): void {
    this.isDirect = true;
    this.outbox.wake();
  }

  cut(): void {
    this.isDirect = false;
    this.direct.messages = [];
    this.directToAlice = [];
    this.outbox.lost(this.direct);
  }

  bobLeaves(): void {
    this.bobIsThere = false;
    this.toBob = [];
  }

  bobArrives(): void {
    if (this.bobIsThere) return;
    this.bobIsThere = true;
    this.mailbox.renew(bob);
    this.mailbox.deliver(bob);
  }

  nodeLeaves(): void {
    this.nodeIsThere = false;
  }

  nodeArrives(): void {
    this.nodeIsThere = true;
    this.outbox.lost(this.toNode);
  }

  killAlice(): void {
    this.outbox.close();
    this.#aliceClock.end();
    this.#aliceClock = new LifeClock(this.clock);
    this.toAlice = [];
    this.cut();
    this.#first = this.last + 1;
    this.outbox = this.#startAlice();
    this.outbox.start();
  }

  killNode(): void {
    this.mailbox.close();
    this.#nodeClock.end();
    this.#nodeClock = new LifeClock(this.clock);
    this.toNode.messages = [];
    this.toAlice = [];
    this.bobLeaves();
    this.mailbox = this.#startNode();
    this.outbox.lost(this.toNode);
  }

  killBob(): void {
    for (const { value, at } of this.#recent) if (this.clock.now() - at < POSITION_MS) this.excused.add(value);
    this.#recent = [];
    this.#bobClock.end();
    this.#bobClock = new LifeClock(this.clock);
    this.bobLeaves();
    this.inbox = this.#startBob();
    this.cut();
  }

  async settle(): Promise<void> {
    this.nodeArrives();
    this.bobArrives();
    for (let round = 0; round < 60; round += 1) {
      for (let turn = 0; turn < 4; turn += 1) {
        await turns(1);
        while (this.toNode.messages.length > 0) this.node();
        while (this.toBob.length > 0) this.bob();
        while (this.direct.messages.length > 0) this.bobDirectly();
        while (this.toAlice.length > 0) this.alice(this.toAlice);
        while (this.directToAlice.length > 0) this.alice(this.directToAlice);
      }
      if (round > 3 && this.outbox.waiting.messages === 0 && this.mailbox.status.messages === 0) break;
      this.clock.advance(10_000);
    }
  }

  fault(): string | undefined {
    const counts = new Map<number, number>();
    for (const value of this.taken) counts.set(value, (counts.get(value) ?? 0) + 1);
    const promised = [...this.answered].filter(([, codes]) => codes.some((code) => code < 300)).map(([value]) => value);
    const missing = promised.filter((value) => !counts.has(value));
    if (missing.length > 0) return `promised and never taken: ${missing.join(' ')}`;
    const twice = [...counts].filter(([value, count]) => count > 1 && !this.excused.has(value));
    if (twice.length > 0) return `taken more than once: ${twice.map(([value]) => value).join(' ')}`;
    const order = [...new Set(this.taken)].filter((value) => promised.includes(value));
    if (order.some((value, at) => at > 0 && value < order[at - 1]!)) return `out of order: ${order.join(' ')}`;
    if (this.outbox.waiting.messages > 0 || this.mailbox.status.messages > 0) return 'something is kept for ever';
    return undefined;
  }

  #answer({ id, body }: Response): void {
    this.answered.set(id as number, [...(this.answered.get(id as number) ?? []), body.code]);
  }

  #route({ p2p }: RouteRequest): Carrier {
    if (this.isDirect && p2p !== false) return this.direct;
    if (this.nodeIsThere) return this.toNode;
    throw new ProtoflyError('E_UNREACHABLE', 'no way');
  }

  #startAlice(): Outbox {
    this.lives += 1;
    const { lives } = this;
    return new Outbox({
      clock: this.#aliceClock, messages: this.aliceStore.collection<KeptMessage>('outbox'), pairs: this.aliceStore.collection<KeptPair>('outbox-pairs'), log: () => undefined,
      routes: { route: (request) => this.#route(request), isAway: ({ p2p }) => !this.nodeIsThere && (!this.isDirect || p2p === false) },
      reply: (response) => { if (lives === this.lives) this.#answer(response); },
    }, { epoch: `life${String(lives)}` });
  }

  #startNode(): Mailbox {
    const mailbox = new Mailbox({
      store: this.nodeStore, clock: this.#nodeClock, acknowledges: () => true, log: () => undefined,
      give: (given) => { if (this.bobIsThere) this.toBob.push(given); return this.bobIsThere; },
    }, { epoch: 'node' });
    mailbox.load();
    return mailbox;
  }

  #startBob(): Inbox {
    const reply = (response: Response): void => {
      if (inbox !== this.inbox) return;
      if (response.body['path'] === 'p2p') { if (this.isDirect) this.directToAlice.push(response); } else if (this.bobIsThere) this.toAlice.push(...this.mailbox.settle(response));
    };
    const inbox: Inbox = new Inbox({
      stored: this.bobStore.collection<Stored>('inbox'), positions: this.bobStore.collection<KeptCheckpoint>('positions'), clock: this.#bobClock, log: () => undefined,
      receipts: new Receipts({ reply }), reply,
    }, { address: bob, positionMs: POSITION_MS });
    inbox.attach({ deliver: ({ body }) => {
      this.taken.push(body?.value as number);
      this.#recent.push({ value: body?.value as number, at: this.clock.now() });
    } });
    return inbox;
  }
}

const ACTS = {
  send: [8, (world: World) => { world.send(); }],
  node: [8, (world: World) => { world.node(); }],
  bob: [6, (world: World) => { world.bob(); }],
  'bob directly': [5, (world: World) => { world.bobDirectly(); }],
  alice: [5, (world: World) => { world.alice(world.toAlice); }],
  'alice directly': [3, (world: World) => { world.alice(world.directToAlice); }],
  connect: [2, (world: World) => { world.connect(); }],
  cut: [1, (world: World) => { world.cut(); }],
  'bob leaves': [2, (world: World) => { world.bobLeaves(); }],
  'bob arrives': [2, (world: World) => { world.bobArrives(); }],
  'node leaves': [1, (world: World) => { world.nodeLeaves(); }],
  'node arrives': [2, (world: World) => { world.nodeArrives(); }],
  'lose a receipt': [1, (world: World) => { world.toAlice.shift(); }],
  wait: [2, (world: World) => { world.clock.advance(2000); }],
  moment: [2, (world: World) => { world.clock.advance(POSITION_MS); }],
  'kill alice': [1, (world: World) => { world.killAlice(); }],
  'kill node': [1, (world: World) => { world.killNode(); }],
  'kill bob': [1, (world: World) => { world.killBob(); }],
} as const;
type Act = keyof typeof ACTS;

const run = async (acts: readonly Act[]): Promise<string | undefined> => {
  const world = new World();
  for (const act of acts) {
    ACTS[act][1](world);
    await turns(1);
  }
  await world.settle();
  world.outbox.close();
  world.inbox.close();
  world.mailbox.close();
  return world.fault();
};

t.test('MAL-2 MAL-3 MAL-5 MAL-6 whoever goes, dies or comes back: what was promised is taken, once, and in order', async (t) => {
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${String(seed)}`);
  const act = fc.oneof(...Object.entries(ACTS).map(([name, [weight]]) => ({ weight, arbitrary: fc.constant(name as Act) })));
  await fc.assert(fc.asyncProperty(fc.array(act, { maxLength: 80, size: 'max' }), async (acts) => {
    const fault = await run(acts);
    if (fault !== undefined) throw new Error(fault);
  }), { numRuns: 200, seed });
});

t.test('what was found wrong once', async (t) => {
  t.equal(await run(['send', 'node', 'bob leaves', 'send', 'node', 'kill alice']), undefined, 'mail whose forerunner was lost with its sender');
  t.equal(await run(['send', 'kill alice', 'connect', 'send', 'bob directly']), undefined, 'a message of an earlier life that was still under way');
  t.equal(await run(['send', 'kill node', 'node', 'lose a receipt', 'send', 'node', 'bob arrives', 'bob', 'alice', 'alice', 'connect', 'send', 'bob directly']), undefined, 'mail is not overtaken because what came before it has been taken');
  t.equal(await run(['bob leaves', 'send', 'node', 'send', 'node', 'bob arrives', 'bob', 'kill node', 'node', 'node', 'send', 'node', 'bob arrives', 'kill alice', 'bob', 'kill bob']), undefined, 'nobody waits for mail that has been taken, and forgotten');
});

const alone = (init: Partial<OutboxInit> = {}, away = { value: true }) => {
  const clock = new ManualClock();
  const answers: [unknown, number][] = [];
  const lanes = { [bob]: new Lane('msg-node'), [carol]: new Lane('msg-node') };
  const outbox = new Outbox({
    clock, messages: memoryStore().collection<KeptMessage>('outbox'), pairs: memoryStore().collection<KeptPair>('pairs'), log: () => undefined,
    routes: { route: ({ to }) => lanes[to]!, isAway: ({ to }) => away.value && to === bob }, reply: ({ id, body }) => { answers.push([id, body.code]); },
  }, { epoch: 'e', ...init });
  return { outbox, clock, answers, lanes, away };
};

t.test('a pair with much that waits delays no other', async (t) => {
  const { outbox, lanes, answers } = alone();
  for (let id = 1; id <= 1000; id += 1) void outbox.send(message(id), bob);
  void outbox.send(message(1001, carol), carol);
  await turns(1);
  t.equal(lanes[carol]!.messages.length, 1);
  t.equal(answers.length, 1000);
  outbox.close();
});

t.test('MAL-5 the outbox has a limit, and an end for each message', async (t) => {
  const { outbox, clock, answers, lanes, away } = alone({ maxPerPair: 2 });
  void outbox.send(message(1, bob, { ttl: 10 }), bob);
  void outbox.send(message(2), bob);
  t.throws(() => outbox.send(message(3), bob), { code: 'E_QUOTA' });
  await turns();
  t.same(answers, [[1, 202], [2, 202]]);
  clock.advance(11_000);
  t.match(outbox.waiting, { messages: 1 });
  t.match(outbox.givenUp, { expired: 1 });
  away.value = false;
  outbox.wake();
  await turns();
  t.same(lanes[bob]!.messages.map(({ id }) => id), [2]);
  t.same(outbox.settle(respond(message(2), 202, { stored: 'domain' })), [], 'its sender was told that it is kept');
  await turns();
  t.match(outbox.waiting, { messages: 0, bytes: 0 });
  outbox.close();
});
