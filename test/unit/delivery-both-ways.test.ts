import fc from 'fast-check';
import t from 'tap';
import { idsOf, isBatch, isResponse, isSuccess, parseAddress, receiptIn, unbatched, withFlow, withoutReceipt, type Address, type Message, type Request, type Response } from '../../src/protocol/index.js';
import { Outgoing, Receipts, type Carrier } from '../../src/runtime/delivery/index.js';
import { Inbox, type Attachment, type KeptCheckpoint, type Stored } from '../../src/runtime/hyperties/inbox/index.js';
import { memoryStore } from '../../src/store/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const ALICE = parseAddress('hyperty://example.com/alice');
const BOB = parseAddress('hyperty://example.com/bob');

/** One direction of one path. */
class Lane implements Carrier {
  isAway = false;
  readonly address;
  queue: Message[] = [];
  constructor(readonly kind: 'p2p' | 'msg-node') {
    this.address = parseAddress(`hyperty-runtime://example.com/r/${kind}`);
  }
  send(sent: Message): void {
    this.queue.push(sent);
  }
}

/** The delivery parts of a runtime with one hyperty. */
class Side {
  readonly clock: ManualClock;
  readonly lanes = { p2p: new Lane('p2p'), 'msg-node': new Lane('msg-node') };
  /** Values in the order in which the program got them. */
  readonly taken: number[] = [];
  readonly acknowledged: number[] = [];
  /** Number of messages that carried a receipt along. */
  carried = 0;
  sent = 0;
  way: 'p2p' | 'msg-node' = 'p2p';
  readonly #own: Address;
  readonly #other: Address;
  readonly #receipts = new Receipts({ reply: (response) => { this.lanes[response.body['path'] === 'msg-node' ? 'msg-node' : this.way].send(response); } });
  readonly outgoing: Outgoing;
  readonly inbox: Inbox;
  readonly #attachment: Attachment;
  #answers = false;

  constructor(clock: ManualClock, own: Address, other: Address) {
    this.clock = clock;
    this.#own = own;
    this.#other = other;
    const refused = (refusal: Response): void => { throw new Error(`refused: ${JSON.stringify(refusal)}`); };
    this.outgoing = new Outgoing({ clock, routes: { route: () => this.lanes[this.way] }, reply: refused, receipts: this.#receipts }, { epoch: own, giveUpMs: 1_000_000 });
    const store = memoryStore();
    this.inbox = new Inbox({
      stored: store.collection<Stored>('inbox'), positions: store.collection<KeptCheckpoint>('positions'), clock, log: () => undefined, receipts: this.#receipts, reply: refused,
    }, { address: own });
    this.#attachment = this.inbox.attach({ window: 1000, deliver: ({ body }) => {
      this.taken.push(body?.value as number);
      // A program answers a request before it declares the request taken.
      if (this.#answers) this.send(1);
      queueMicrotask(() => { this.#attachment.taken(this.taken.length); });
    } });
  }

  /** Turns answers to messages on or off. */
  answers(does: boolean): void {
    this.#answers = does;
  }

  send(count: number): void {
    for (let n = 0; n < count; n += 1) {
      this.sent += 1;
      void this.outgoing.send({ id: this.sent, type: 'create', from: this.#own, to: this.#other, body: { value: this.sent, expect: 'receipt' } }, this.#other, this.lanes[this.way], { batches: true });
    }
  }

  /** Accepts a message from a lane of the other side. */
  accept(message: Message, path: 'p2p' | 'msg-node'): void {
    if (isResponse(message)) { this.#settle(message); return; }
    const receipt = receiptIn(message);
    if (receipt !== undefined) {
      this.carried += 1;
      this.#settle(receipt);
    }
    const request = receipt === undefined ? message : withoutReceipt(message);
    for (const one of isBatch(request) ? unbatched(request) : [request]) this.inbox.receive(one, { path });
  }

  #settle(response: Response): void {
    if (!isSuccess(response)) throw new Error(`refused: ${JSON.stringify(response)}`);
    const heard = this.outgoing.settle(response);
    if (heard !== undefined) this.acknowledged.push(...idsOf(heard) as number[]);
  }
}

class World {
  readonly clock = new ManualClock();
  readonly alice = new Side(this.clock, ALICE, BOB);
  readonly bob = new Side(this.clock, BOB, ALICE);

  arrive(from: 'alice' | 'bob', path: 'p2p' | 'msg-node'): void {
    const next = this[from].lanes[path].queue.shift();
    if (next !== undefined) this[from === 'alice' ? 'bob' : 'alice'].accept(next, path);
  }

  cut(): void {
    for (const side of [this.alice, this.bob]) {
      side.lanes.p2p.queue = [];
      side.way = 'msg-node';
    }
    for (const side of [this.alice, this.bob]) side.outgoing.lost(side.lanes.p2p);
  }

  async settle(): Promise<void> {
    for (const side of [this.alice, this.bob]) side.answers(false);
    for (let round = 0; round < 100; round += 1) {
      await turns(2);
      for (const from of ['alice', 'bob'] as const) for (const path of ['p2p', 'msg-node'] as const) while (this[from].lanes[path].queue.length > 0) this.arrive(from, path);
      await turns(2);
      const isIdle = [this.alice, this.bob].every((side) => side.acknowledged.length === side.sent && Object.values(side.lanes).every(({ queue }) => queue.length === 0));
      if (isIdle) return;
      this.clock.advance(5000);
    }
  }

  fault(): string | undefined {
    for (const [name, sender, receiver] of [['alice', this.alice, this.bob], ['bob', this.bob, this.alice]] as const) {
      const expected = JSON.stringify(Array.from({ length: sender.sent }, (_, index) => index + 1));
      if (JSON.stringify(receiver.taken) !== expected) return `of ${name}'s ${String(sender.sent)} were taken ${JSON.stringify(receiver.taken)}`;
      if (JSON.stringify([...sender.acknowledged].sort((a, b) => a - b)) !== expected) return `of ${name}'s ${String(sender.sent)} were acknowledged ${JSON.stringify(sender.acknowledged)}`;
    }
    for (const side of [this.alice, this.bob]) {
      side.outgoing.close();
      side.inbox.close();
    }
    return this.clock.pending > 0 ? 'a timer is left' : undefined;
  }
}

const who = fc.constantFrom('alice' as const, 'bob' as const);
const path = fc.constantFrom('p2p' as const, 'msg-node' as const);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ act: fc.constant('send' as const), who, count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 12, arbitrary: fc.record({ act: fc.constant('arrive' as const), who, path }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('answers' as const), who, does: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('drop' as const), who, path }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('repeat' as const), who, path }) },
  { weight: 1, arbitrary: fc.constant({ act: 'cut' as const }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('switch' as const), who }) },
  { weight: 6, arbitrary: fc.constant({ act: 'turn' as const }) },
  { weight: 1, arbitrary: fc.constant({ act: 'wait' as const }) },
);

t.test('FLW-9 both ways at once: every message is taken once, in order, and acknowledged, whatever takes its receipt along', async (t) => {
  let carried = 0;
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 120, size: 'max' }), async (steps) => {
    const world = new World();
    for (const one of steps) {
      switch (one.act) {
        case 'send': world[one.who].send(one.count); break;
        case 'arrive': world.arrive(one.who, one.path); break;
        case 'answers': world[one.who].answers(one.does); break;
        case 'drop': world[one.who].lanes[one.path].queue.shift(); break;
        case 'repeat': world[one.who].lanes[one.path].queue.push(...world[one.who].lanes[one.path].queue.slice(0, 1)); break;
        case 'cut': world.cut(); break;
        case 'switch': world[one.who].way = world[one.who].way === 'p2p' ? 'msg-node' : 'p2p'; break;
        case 'turn': await turns(1); break;
        case 'wait':
          world.clock.advance(4000);
          await turns(2);
      }
    }
    await world.settle();
    const fault = world.fault();
    if (fault !== undefined) throw new Error(fault);
    carried += world.alice.carried + world.bob.carried;
  }), { numRuns: 300 });
  t.ok(carried > 1000, `${String(carried)} messages took a receipt along`);
});

/** Alice has sent bob a message; bob has taken it and answered with one. */
const asked = async (): Promise<World> => {
  const world = new World();
  world.bob.answers(true);
  world.alice.send(1);
  await turns(1);
  world.arrive('alice', 'p2p');
  await turns(2);
  return world;
};

t.test('FLW-9 an answer takes along that its question was taken: nothing else is said', async (t) => {
  const world = await asked();
  t.match(world.bob.lanes.p2p.queue, [{ id: 1, type: 'create', body: { value: 1, expect: 'receipt', flow: [`${BOB}.1`, 1, 1], ack: { flow: [`${ALICE}.1`, 1, 1], path: 'p2p' } } }]);
  t.equal(world.bob.lanes.p2p.queue.length, 1);
  world.arrive('bob', 'p2p');
  t.same(world.alice.acknowledged, [1]);
  await world.settle();
  t.equal(world.fault(), undefined);
});

t.test('FLW-9 a message that is sent again takes its receipt along again', async (t) => {
  const world = await asked();
  world.cut();
  await turns(2);
  t.match(world.bob.lanes['msg-node'].queue, [{ id: 1, body: { ack: { flow: [`${ALICE}.1`, 1, 1], path: 'p2p' } } }], 'and says how that came in, not how this goes');
  await world.settle();
  t.equal(world.fault(), undefined);
});

t.test('FLW-9 of mail nothing is taken along: a message node has to see its receipt', async (t) => {
  const replies: Response[] = [];
  const receipts = new Receipts({ reply: (response) => replies.push(response) });
  const mail: Request = { id: 1, type: 'create', from: ALICE, to: BOB, body: { value: 1, expect: 'receipt', store: true } };
  receipts.add(BOB, mail, { path: 'msg-node' }, { epoch: 'e', seq: 1, base: 1 });
  t.equal(receipts.take(BOB, ALICE), undefined);
  await turns(1);
  t.match(replies, [{ id: 1, body: { code: 200, flow: ['e', 1, 1] } }]);
});

t.test('FLW-9 what comes with a message and makes no sense is no receipt', (t) => {
  const message = (ack: unknown, to: Request['to'] = BOB): Request => ({ id: 1, type: 'create', from: ALICE, to, body: { value: 1, ack } });
  for (const ack of [undefined, null, 1, 'x', [], {}, { flow: 1 }, { flow: ['e', 1] }, { flow: ['e', 0, 1] }, { flow: ['e', 2, 1] }, { flow: [1, 1, 1] }]) t.equal(receiptIn(message(ack)), undefined, JSON.stringify(ack));
  t.equal(receiptIn(message({ flow: ['e', 1, 1] }, [BOB, ALICE])), undefined, 'it has one receiver');
  t.match(receiptIn(message({ flow: ['e', 1, 2], code: 404, path: 'p2p' })), { from: ALICE, to: BOB, type: 'response', body: { code: 200, path: 'p2p' } }, 'and is never a refusal');
  t.same(withoutReceipt(withFlow(message(undefined), { epoch: 'e', seq: 1, base: 1 }, { flow: ['f', 1, 1] }) as Request).body, { value: 1, flow: ['e', 1, 1] });
  t.end();
});
