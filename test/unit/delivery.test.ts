import fc from 'fast-check';
import t from 'tap';
import { messageCodec } from '../../src/link/index.js';
import { batchRange, flowOf, idsOf, isBatch, MAX_BATCH, parseAddress, ProtoflyError, rangeOf, refuse, respond, unbatched, type Message, type Request, type Response } from '../../src/protocol/index.js';
import { Incoming, Outgoing, Receipts, Window, type Carrier, type OutgoingInit } from '../../src/runtime/delivery/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const message = (id: number): Request => ({ id, type: 'create', from: alice, to: bob, body: { value: id, expect: 'receipt' } });

const unexpected = (refusal: Response): void => { throw new Error(`refused: ${JSON.stringify(refusal)}`); };

/** A carrier whose messages arrive when the test says so. */
class Lane implements Carrier {
  isAway = false;
  readonly address;
  readonly queue: Message[] = [];
  up = true;
  constructor(readonly kind: 'p2p' | 'msg-node', name: string) {
    this.address = parseAddress(`hyperty-runtime://example.com/r/${name}`);
  }
  send(sent: Message): void {
    if (!this.up) throw new ProtoflyError('E_LINK_CLOSED', `${this.address} is closed`);
    this.queue.push(sent);
  }
}

/** The delivery parts of two runtimes, with two lanes between them. */
class Pair {
  readonly clock = new ManualClock();
  readonly lanes = [new Lane('msg-node', 'node'), new Lane('p2p', 'direct')] as const;
  readonly taken: number[] = [];
  readonly receipts: Response[] = [];
  readonly acknowledged: number[] = [];
  current: 0 | 1 = 0;
  readonly incoming = new Incoming<{ readonly message: Request; readonly path: 'p2p' | 'msg-node' }>({ sizeOf: () => 1 });
  readonly refusals: Response[] = [];
  readonly outgoing: Outgoing;
  readonly gathered = new Receipts({ reply: (response) => this.receipts.push(response) });
  #id = 0;

  constructor(init: Partial<OutgoingInit> = {}) {
    this.outgoing = new Outgoing({ clock: this.clock, routes: { route: () => this.lanes[this.current] }, reply: (response) => this.refusals.push(response) }, { epoch: 'e1', ...init });
  }

  send(how: { readonly batches?: boolean } = {}): void {
    this.#id += 1;
    void this.outgoing.send(message(this.#id), bob, this.lanes[this.current], how);
  }

  get sent(): number {
    return this.#id;
  }

  arrive(lane: Lane): void {
    const next = lane.queue.shift();
    if (next === undefined) return;
    for (const one of isBatch(next) ? unbatched(next as Request) : [next as Request]) this.#come(one, lane);
  }

  #come(next: Request, lane: Lane): void {
    const mark = flowOf(next);
    if (mark === undefined) throw new Error('a message without its flow mark');
    const sorted = this.incoming.sort({ message: next, path: lane.kind }, next.from, mark);
    if (sorted.kind === 'repeated') this.gathered.add(bob, next, { path: lane.kind }, mark);
    if (sorted.kind !== 'ready') return;
    for (const { message: ready, path } of sorted.items) {
      const flow = flowOf(ready)!;
      this.taken.push(ready.body!.value as number);
      this.incoming.taken(ready.from, flow);
      this.gathered.add(bob, ready, { path }, flow);
    }
  }

  receipt(): void {
    const receipt = this.receipts.shift();
    const heard = receipt && this.outgoing.settle(receipt);
    if (heard !== undefined) this.acknowledged.push(...idsOf(heard) as number[]);
  }

  /** Lets everything in flight arrive and time pass, until nothing moves any more. */
  async settle(): Promise<void> {
    for (const lane of this.lanes) lane.up = true;
    for (let round = 0; round < 200; round += 1) {
      await turns(2);
      for (const lane of this.lanes) while (lane.queue.length > 0) this.arrive(lane);
      await turns(1);
      while (this.receipts.length > 0) this.receipt();
      if (new Set(this.acknowledged).size === this.sent) return;
      this.clock.advance(5000);
    }
  }
}

void t.test('whatever happens on the way, every message is taken once and in order', async (t) => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ act: fc.constant('send' as const), batches: fc.boolean() }) },
    { weight: 6, arbitrary: fc.record({ act: fc.constant('arrive' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 4, arbitrary: fc.constant({ act: 'receipt' as const }) },
    { weight: 1, arbitrary: fc.constant({ act: 'lose receipt' as const }) },
    { weight: 2, arbitrary: fc.constant({ act: 'switch' as const }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('cut' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('close or open' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('turn one away' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('drop one' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('repeat one' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 4, arbitrary: fc.constant({ act: 'turn' as const }) },
    { weight: 1, arbitrary: fc.constant({ act: 'wait' as const }) },
  );
  const property = fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
    const pair = new Pair({ giveUpMs: 1_000_000 });
    for (const one of steps) {
      switch (one.act) {
        case 'send': pair.send(one); break;
        case 'arrive': pair.arrive(pair.lanes[one.lane]); break;
        case 'receipt': pair.receipt(); break;
        case 'lose receipt': pair.receipts.shift(); break;
        case 'switch': pair.current = pair.current === 0 ? 1 : 0; break;
        case 'cut':
          pair.lanes[one.lane].queue.length = 0;
          pair.current = one.lane === 0 ? 1 : 0;
          pair.outgoing.lost(pair.lanes[one.lane]);
          break;
        case 'close or open': pair.lanes[one.lane].up = !pair.lanes[one.lane].up; break;
        case 'turn one away': {
          const away = pair.lanes[one.lane].queue.shift();
          if (away !== undefined) pair.outgoing.settle(refuse(away as Request, new ProtoflyError('E_UNREACHABLE', 'not passed on')));
          break;
        }
        case 'drop one': pair.lanes[one.lane].queue.shift(); break;
        case 'repeat one': pair.lanes[one.lane].queue.push(...pair.lanes[one.lane].queue.slice(0, 1)); break;
        case 'turn': await turns(1); break;
        case 'wait':
          pair.clock.advance(4000);
          await turns(2);
      }
    }
    await pair.settle();
    pair.outgoing.close();
    const expected = Array.from({ length: pair.sent }, (_, index) => index + 1);
    if (JSON.stringify(pair.taken) !== JSON.stringify(expected)) throw new Error(`taken ${JSON.stringify(pair.taken)} of ${String(pair.sent)}`);
    if (pair.acknowledged.length !== pair.sent || new Set(pair.acknowledged).size !== pair.sent) throw new Error(`acknowledged ${JSON.stringify(pair.acknowledged)}`);
    if (pair.clock.pending > 0) throw new Error('a timer is left');
  });
  // fast-check prints the seed of a failure.
  await fc.assert(property, { numRuns: 300 });
  t.pass('300 histories');
});

void t.test('a refused message leaves no gap that others wait behind', async (t) => {
  const pair = new Pair();
  for (let count = 0; count < 3; count += 1) pair.send();
  pair.lanes[0].queue.shift();
  pair.outgoing.settle(respond(message(1), 503));
  pair.arrive(pair.lanes[0]);
  pair.arrive(pair.lanes[0]);
  t.same(pair.taken, [], 'held: the receiver can\'t know yet');
  pair.clock.advance(5000);
  await turns();
  while (pair.lanes[0].queue.length > 0) pair.arrive(pair.lanes[0]);
  t.same(pair.taken, [2, 3]);
  pair.outgoing.close();
});

void t.test('a sender is stalled beyond its limit, and goes on when receipts come', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('p2p', 'direct');
  const outgoing = new Outgoing({ clock, reply: unexpected, routes: { route: () => lane } }, { epoch: 'e', window: 1000 });
  t.equal(outgoing.send(message(1), bob, lane), undefined);
  void outgoing.send(message(2), bob, lane);
  void outgoing.send(message(3), bob, lane);
  let released = false;
  void Promise.resolve(outgoing.send(message(4), bob, lane)).then(() => { released = true; });
  await turns();
  t.equal(released, false);
  for (const id of [1, 2, 3]) outgoing.settle(respond(message(id), 200));
  await turns();
  t.equal(released, true);
  outgoing.close();
});

void t.test('a receipt that was lost is asked for again though later ones come', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('p2p', 'direct');
  const outgoing = new Outgoing({ clock, reply: unexpected, routes: { route: () => lane } }, { epoch: 'e', resendMs: 3000 });
  void outgoing.send(message(1), bob, lane);
  for (let id = 2; id <= 10; id++) {
    void outgoing.send(message(id), bob, lane);
    outgoing.settle(respond(message(id), 200));
    clock.advance(1000);
    await turns();
  }
  t.ok(outgoing.resent >= 1);
  t.ok(lane.queue.slice(1).some(({ id }) => id === 1), 'the first message went again');
  outgoing.close();
});

void t.test('what stands still takes another way when there is one, not when its pause is over', async (t) => {
  const clock = new ManualClock();
  const [node, direct] = [new Lane('msg-node', 'node'), new Lane('p2p', 'direct')];
  let way = node;
  const outgoing = new Outgoing({ clock, reply: unexpected, routes: { route: () => way } }, { epoch: 'e', resendMs: 3000 });
  void outgoing.send(message(1), bob, node);
  const wait = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) { clock.advance(1000); await turns(); }
  };
  await wait(12);
  t.equal(node.queue.length, 3, 'the same way only after pauses that grow');
  way = direct;
  await wait(1);
  t.strictSame([node.queue.length, direct.queue.length], [3, 1]);
  await wait(3);
  t.equal(direct.queue.length, 1, 'and once');
  outgoing.close();
});

void t.test('a stream that was silent so long that it was forgotten begins anew, and is no repetition', async (t) => {
  const pair = new Pair();
  for (const round of [1, 2]) {
    pair.send();
    pair.arrive(pair.lanes[0]);
    await turns(1);
    pair.receipt();
    t.equal(pair.taken.length, round, 'taken, not taken for an old one');
    for (let minute = 0; minute < 5; minute += 1) {
      pair.clock.advance(60_000);
      await turns(2);
    }
  }
  t.equal(pair.clock.pending, 0, 'it is forgotten');
  pair.outgoing.close();
});

void t.test('a full receiver\'s refusal is final: it would take the next copy for a repetition', (t) => {
  const pair = new Pair();
  pair.send();
  const refusal = respond(message(1), 429, { error: 'E_TOO_MANY' });
  t.same(pair.outgoing.settle(refusal), refusal);
  pair.outgoing.close();
  t.end();
});

void t.test('marks from elsewhere are numbers that make sense, or nothing', (t) => {
  const marked = (flow: unknown): Message => ({ ...message(1), body: { flow } });
  for (const bad of [undefined, null, 'x', [], ['e', 1], ['e', 1, 2], ['e', 0, 0], ['e', 1.5, 1], [1, 1, 1], ['e', 2 ** 60, 1], ['x'.repeat(65), 1, 1]]) {
    t.equal(flowOf(marked(bad)), undefined, JSON.stringify(bad));
  }
  t.same(flowOf(marked(['e', 5, 3])), { epoch: 'e', seq: 5, base: 3 });
  t.end();
});

void t.test('a stream with a huge gap costs no time, one that only holds back is bounded', (t) => {
  const incoming = new Incoming<number>({ sizeOf: (size) => size }, { maxHeld: 3, maxHeldBytes: 100 });
  const sort = (epoch: string, seq: number, base: number, size = 1): string => incoming.sort(size, alice, { epoch, seq, base }).kind;
  t.equal(sort('e', 1, 1), 'ready');
  t.equal(sort('e', 3, 1), 'held');
  t.equal(sort('e', Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1), 'ready');
  for (const seq of [5, 6, 7]) t.equal(sort('f', seq, 1), 'held');
  t.equal(sort('f', 8, 1), 'overflow');
  t.equal(sort('f', 5, 1), 'held', 'a copy of one that is held isn\'t acknowledged before it');
  t.equal(sort('g', 2, 1, 90), 'held');
  t.equal(sort('h', 2, 1, 90), 'overflow', 'what all streams hold back is bounded');
  t.equal(sort('g', 1, 1, 90), 'ready');
  t.equal(sort('h', 2, 1, 90), 'held', 'and free again when it was handed on');
  t.end();
});

void t.test('FLW-6 what was refused is not acknowledged by its next copy: it is taken, or refused again', (t) => {
  const incoming = new Incoming<string>({ sizeOf: () => 1 });
  const sort = (seq: number) => incoming.sort(`copy of ${String(seq)}`, alice, { epoch: 'e', seq, base: 1 });
  const mark = (seq: number) => ({ epoch: 'e', seq, base: 1 });
  t.equal(sort(1).kind, 'ready');
  t.equal(sort(1).kind, 'held', 'nobody has taken it yet');
  incoming.refused(alice, mark(1));
  t.equal(sort(1).kind, 'refused');
  for (const seq of [2, 3, 4]) t.equal(sort(seq).kind, 'ready');
  incoming.taken(alice, mark(3));
  incoming.goBack(alice, mark(2));
  t.equal(sort(3).kind, 'repeated', 'taken is taken');
  t.equal(sort(4).kind, 'held', 'it does not overtake the one that has to come again');
  t.same(sort(2), { kind: 'ready', items: ['copy of 2', 'copy of 4'] });
  t.end();
});

void t.test('a carrier\'s word that it couldn\'t send is not the receiver\'s: the message goes again, for as long as its sender may hope', async (t) => {
  const pair = new Pair();
  pair.send();
  const [lane] = pair.lanes;
  const unsent = refuse(message(1), new ProtoflyError('E_UNREACHABLE', 'not sent'));
  t.equal(pair.outgoing.settle(unsent), undefined);
  lane.queue.length = 0;
  pair.clock.advance(5000);
  await turns();
  t.equal(lane.queue.length, 1, 'it was sent again');
  pair.clock.advance(6000);
  t.same(pair.outgoing.settle(unsent), unsent, 'after ten seconds without any receipt the sender is told');
});

void t.test('FLW-7 one receipt stands for many: their senders hear of each, once', async (t) => {
  const pair = new Pair();
  for (let count = 0; count < 5; count += 1) pair.send();
  for (let count = 0; count < 5; count += 1) pair.arrive(pair.lanes[0]);
  await turns(1);
  t.equal(pair.receipts.length, 1, 'what arrives in one go is acknowledged in one go');
  const [receipt] = pair.receipts;
  t.match(receipt, { id: 5, body: { code: 200, path: 'msg-node', flow: ['e1.1', 1, 5] } });
  t.same(pair.outgoing.settle({ ...receipt!, body: { ...receipt!.body, flow: ['e1.1', 2, 3] } })?.body, { code: 200, path: 'msg-node', receiptOf: [2, 3] });
  t.match(pair.outgoing.settle(receipt!), { id: 5, body: { receiptOf: [1, 4, 5], flow: undefined } }, 'those that were heard of before are left out');
  t.equal(pair.outgoing.settle(receipt!), undefined, 'nobody waits for a copy');
  pair.send();
  t.equal(pair.outgoing.settle({ ...receipt!, body: { code: 200, flow: ['e0.1', 1, 2 ** 50] } }), undefined, 'another stream\'s numbers mean nothing here');
  t.match(pair.outgoing.settle({ ...receipt!, body: { code: 200, flow: ['e1.1', 1, 2 ** 50] } }), { id: 6, body: { code: 200, receiptOf: undefined } }, 'a range costs what is outstanding, not what it says');
  pair.outgoing.close();
});

const BATCHED = { batches: true };
/** Returns the ids of a lane's messages; those of a batch are grouped. */
const idsIn = (lane: Lane): unknown[] => lane.queue.map((sent) => (isBatch(sent) ? unbatched(sent as Request).map(({ id }) => id) : sent.id));

void t.test('FLW-8 what is sent in one turn leaves as one, and is what it was', async (t) => {
  const pair = new Pair();
  const [lane] = pair.lanes;
  pair.send(BATCHED);
  await turns(1);
  t.match(lane.queue.shift(), { id: 1, body: { flow: ['e1.1', 1, 1] } }, 'one alone as it is');
  for (let count = 0; count < 3; count += 1) pair.send(BATCHED);
  t.equal(lane.queue.length, 0);
  await turns(1);
  t.same(lane.queue, [{ id: 'e1.1/2-4', type: 'create', from: alice, to: bob, body: { value: [[2, { value: 2 }], [3, { value: 3 }], [4, { value: 4 }]], expect: 'receipt', flow: ['e1.1', 2, 1, 3] } }]);
  t.same(unbatched(lane.queue[0] as Request), [2, 3, 4].map((id) => ({ ...message(id), body: { value: id, expect: 'receipt', flow: ['e1.1', id, 1] } })));
  pair.outgoing.close();
});

void t.test('FLW-8 another way, type or size begins another batch; nothing overtakes', async (t) => {
  const pair = new Pair({ window: 2 ** 30 });
  const [node, direct] = pair.lanes;
  const send = (id: number, other: Partial<Request> = {}, lane = node, how = BATCHED): void => { void pair.outgoing.send({ ...message(id), ...other } as Request, bob, lane, how); };
  send(1);
  send(2, { type: 'update' });
  send(3, {}, direct);
  send(4, { body: { value: 'x'.repeat(20_000), expect: 'receipt' } }, direct);
  send(5, {}, direct);
  send(6, {}, direct, { batches: false });
  for (let id = 7; id <= 10; id += 1) send(id, { body: { value: 'x'.repeat(15_000), expect: 'receipt' } });
  send(11, { body: { value: JSON.parse(`${'['.repeat(98)}${']'.repeat(98)}`) as unknown, expect: 'receipt' } });
  send(12);
  pair.outgoing.flush(alice, bob);
  send(13);
  await turns(1);
  t.same(idsIn(node), [1, 2, [7, 8], [9, 10], 11, 12, 13]);
  t.same(idsIn(direct), [3, 4, 5, 6]);
  for (let id = 14; id < 14 + MAX_BATCH + 2; id += 1) send(id, { body: { expect: 'receipt' } });
  await turns(1);
  t.ok(idsIn(node).slice(7).every((ids) => (ids as unknown[]).length <= MAX_BATCH));
  t.equal(idsIn(node).slice(7).flat().length, MAX_BATCH + 2);
  pair.outgoing.close();
});

void t.test('FLW-8 a response to a batch is about each of its messages in flight', async (t) => {
  const pair = new Pair();
  const [lane] = pair.lanes;
  for (let count = 0; count < 4; count += 1) pair.send(BATCHED);
  await turns(1);
  const batch = lane.queue.shift() as Request;
  pair.outgoing.settle(respond(message(2), 429, { error: 'E_TOO_MANY' }));
  const unsent = refuse(batch, new ProtoflyError('E_UNREACHABLE', 'not passed on'));
  t.equal(pair.outgoing.settle(unsent), undefined, 'no word of the receiver\'s');
  pair.clock.advance(3000);
  await turns();
  t.same(idsIn(lane), [1, 3, 4], 'they go again');
  t.same(pair.outgoing.settle(refuse(batch, new ProtoflyError('E_NOT_FOUND', 'nobody is there')))?.body, { code: 404, error: 'E_NOT_FOUND', description: 'nobody is there', receiptOf: [1, 3, 4] });
  t.equal(pair.outgoing.settle(refuse({ ...batch, id: 'e0.1/1-4' }, new ProtoflyError('E_NOT_FOUND', 'nobody is there')))?.body['receiptOf'], undefined, 'another stream\'s means nothing here');
  pair.outgoing.close();
});

void t.test('FLW-8 what can\'t be sent is refused alone; what a closed carrier doesn\'t take goes another way', async (t) => {
  const pair = new Pair();
  const [node, direct] = pair.lanes;
  const send = node.send.bind(node);
  node.send = (sent) => {
    messageCodec.encode(sent);
    send(sent);
  };
  pair.send(BATCHED);
  void pair.outgoing.send({ ...message(100), body: { value: 1n, expect: 'receipt' } }, bob, node, BATCHED);
  pair.send(BATCHED);
  await turns(1);
  t.same(idsIn(node), [1, 2]);
  t.match(pair.refusals, [{ id: 100, body: { code: 400 } }]);
  for (let count = 0; count < 3; count += 1) pair.send(BATCHED);
  node.up = false;
  node.send = send;
  pair.current = 1;
  await turns();
  t.same(idsIn(direct), [1, 2, 3, 4, 5], 'with what had gone there, in order');
  pair.outgoing.close();
});

void t.test('what waited for a way and no carrier takes is refused, and holds nothing up', async (t) => {
  const pair = new Pair();
  const [lane] = pair.lanes;
  const send = lane.send.bind(lane);
  lane.send = (sent) => {
    if (sent.id === 1) throw new ProtoflyError('E_TOO_LARGE', 'too large');
    send(sent);
  };
  const none = new ProtoflyError('E_UNREACHABLE', 'no way');
  for (const id of [1, 2]) void pair.outgoing.hold(message(id), bob, none);
  pair.outgoing.wake();
  await turns();
  t.same(idsIn(lane), [2]);
  t.match(pair.refusals, [{ id: 1, body: { code: 413 } }]);
  pair.outgoing.close();
});

void t.test('FLW-8 batches that make no sense', (t) => {
  const batch = (value: unknown, flow: unknown[]): Request => ({ ...message(1), body: { value, expect: 'receipt', flow } });
  for (const [value, flow] of [
    [undefined, ['e', 1, 1, 1]], [[], ['e', 1, 1, 0]], [[[1, {}]], ['e', 1, 1, 2]], [[[1, {}]], ['e', 'x', 1, 1]], [[[1, {}]], ['e', 1, null, 1]], [[[1]], ['e', 1, 1, 1]], [[[1, {}, 3]], ['e', 1, 1, 1]],
    [[1], ['e', 1, 1, 1]], [[[1, []]], ['e', 1, 1, 1]], [[[1, null]], ['e', 1, 1, 1]], [[[{}, {}]], ['e', 1, 1, 1]], [[['', {}]], ['e', 1, 1, 1]], [Array.from({ length: MAX_BATCH + 1 }, (_, id) => [id, {}]), ['e', 1, 1, MAX_BATCH + 1]],
  ] as const) t.throws(() => unbatched(batch(value, [...flow])), { code: 'E_MESSAGE' }, JSON.stringify(value)?.slice(0, 50));
  t.same(unbatched(batch([[1, { flow: ['mine', 1, 1], expect: 'response' }]], ['e', 3, 2, 1])).map(({ body }) => body), [{ expect: 'receipt', flow: ['e', 3, 2] }], 'a message says nothing of that itself');
  t.equal(flowOf(unbatched(batch([[1, {}]], [7, 1, 1, 1]))[0]!), undefined, 'a number that is none is none');
  for (const id of [7, '', 'x', 'e/1', 'e/0-1', 'e/1-2-3', '/1-2', 'e/01-2', `${'x'.repeat(65)}/1-2`]) t.equal(batchRange(id), undefined, String(id));
  t.same(batchRange('a/b/1-2'), { epoch: 'a/b', first: 1, last: 2 });
  t.end();
});

void t.test('FLW-7 a change of the way, or a gap, begins another receipt', async (t) => {
  const replies: Response[] = [];
  const receipts = new Receipts({ reply: (response) => replies.push(response) });
  const take = (seq: number, path: 'p2p' | 'msg-node', generation?: number, epoch = 'e'): void => {
    receipts.add(bob, message(seq), { path, ...(generation === undefined ? {} : { generation }) }, { epoch, seq, base: 1 });
  };
  take(1, 'msg-node'); take(2, 'msg-node'); take(3, 'p2p', 1); take(4, 'p2p', 2); take(5, 'p2p', 2); take(7, 'p2p', 2); take(8, 'p2p', 2, 'f');
  await turns(1);
  t.same(replies.map(({ body: { path, generation, flow } }) => [path, generation, flow]), [
    ['msg-node', undefined, ['e', 1, 2]], ['p2p', 1, ['e', 3, 3]], ['p2p', 2, ['e', 4, 5]], ['p2p', 2, ['e', 7, 7]], ['p2p', 2, ['f', 8, 8]],
  ]);
});

void t.test('ranges from elsewhere are numbers that make sense, or nothing', (t) => {
  const ranged = (flow: unknown): Response => respond(message(1), 200, { flow });
  for (const bad of [undefined, 'x', ['e', 1], ['e', 2, 1], ['e', 0, 1], ['e', 1, 1.5], ['e', 1, Infinity], [1, 1, 1]]) t.equal(rangeOf(ranged(bad)), undefined, JSON.stringify(bad));
  t.same(rangeOf(ranged(['e', 1, 3])), { epoch: 'e', first: 1, last: 3 });
  t.end();
});

void t.test('a sender may have so many bytes in flight, and one message more', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('p2p', 'direct');
  const outgoing = new Outgoing({ clock, reply: unexpected, routes: { route: () => lane } }, { epoch: 'e', window: 4000 });
  const large = (id: number): Request => ({ ...message(id), body: { value: 'x'.repeat(1500), expect: 'receipt' } });
  t.equal(outgoing.send(large(1), bob, lane), undefined);
  t.equal(outgoing.send(large(2), bob, lane), undefined);
  let released = false;
  void Promise.resolve(outgoing.send(large(3), bob, lane)).then(() => { released = true; });
  t.equal(lane.queue.length, 3, 'what was given is sent');
  outgoing.settle(respond(large(1), 200));
  await turns();
  t.equal(released, false, 'not before half of it is free again');
  outgoing.settle(respond(large(2), 200));
  await turns();
  t.equal(released, true);
  outgoing.close();
});

void t.test('body.timeout says how long a message may hope for a way', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('msg-node', 'node');
  const outgoing = new Outgoing({ clock, reply: unexpected, routes: { route: () => lane } }, { epoch: 'e' });
  const lasting: Request = { ...message(1), body: { value: 1, expect: 'receipt', timeout: 300_000 } };
  const unsent = refuse(lasting, new ProtoflyError('E_UNREACHABLE', 'not sent'));
  void outgoing.send(lasting, bob, lane);
  for (let second = 0; second < 280; second += 1) { clock.advance(1000); await turns(); }
  t.equal(outgoing.settle(unsent), undefined, 'longer than streams are remembered otherwise');
  lane.queue.length = 0;
  outgoing.wake();
  await turns();
  t.equal(lane.queue.length, 1, 'what couldn\'t be sent goes as soon as there may be a way');
  clock.advance(20_000);
  t.same(outgoing.settle(unsent), { ...unsent, body: { ...unsent.body, uncertain: true } }, 'and then its sender is told, and that copies were sent of which nothing was heard');
  outgoing.close();
});

void t.test('what has no way is held, goes in order when there is one, and is refused when there is none for too long', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('msg-node', 'node');
  const refused: Response[] = [];
  let trouble: ProtoflyError | undefined = new ProtoflyError('E_UNREACHABLE', 'no stub');
  const outgoing = new Outgoing({ clock, reply: (response) => refused.push(response), routes: { route: () => {
    if (trouble !== undefined) throw trouble;
    return lane;
  } } }, { epoch: 'e' });
  const wait = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) { clock.advance(1000); await turns(); }
  };
  const lasting: Request = { ...message(2), body: { value: 2, expect: 'receipt', timeout: 60_000 } };
  void outgoing.hold(message(1), bob, trouble);
  void outgoing.hold(lasting, bob, trouble);
  await wait(12);
  t.match(refused, [{ id: 1, from: bob, to: alice, body: { code: 503, error: 'E_UNREACHABLE', description: 'no stub' } }], 'one after 10 s, the other said that it waits longer');
  trouble = undefined;
  await wait(1);
  t.same(lane.queue.map(({ id }) => id), [2], 'within a second');
  void outgoing.send(message(3), bob, lane);
  t.same(lane.queue.map((sent) => flowOf(sent)), [{ epoch: 'e.1', seq: 2, base: 2 }, { epoch: 'e.1', seq: 3, base: 2 }]);
  outgoing.close();
  t.equal(refused.length, 1);
  t.equal(clock.pending, 0);
});

void t.test('each waits as long as it may: that one is refused is no reason to hope for the others', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('msg-node', 'node');
  lane.isAway = true;
  const refused: [unknown, number, unknown][] = [];
  const began = clock.now();
  const hear = (response: Response | undefined): void => { if (response !== undefined) refused.push([response.id, Math.round((clock.now() - began) / 1000), response.body['uncertain']]); };
  const outgoing = new Outgoing({ clock, reply: hear, routes: { route: () => lane } }, { epoch: 'e' });
  /** Like a stub that isn't connected: it keeps messages for ten seconds. */
  let kept: readonly { readonly message: Message; readonly until: number }[] = [];
  let given = 0;
  for (let second = 0; second < 30; second += 1) {
    if (second < 5) void outgoing.send(message(second + 1), bob, lane);
    const came = lane.queue.splice(0);
    given += came.length;
    kept = [...kept, ...came.map((sent) => ({ message: sent, until: clock.now() + 10_000 }))];
    clock.advance(1000);
    await turns();
    const over = kept.filter(({ until }) => until <= clock.now());
    kept = kept.filter(({ until }) => until > clock.now());
    for (const { message: waited } of over) hear(outgoing.settle(refuse(waited as Request, new ProtoflyError('E_UNREACHABLE', 'the message node could not be reached in time'))));
  }
  t.same(refused, [[1, 10, undefined], [2, 11, undefined], [3, 12, undefined], [4, 13, undefined], [5, 14, undefined]], 'each after ten seconds, and for certain');
  t.equal(given, 5, 'what waits with its carrier isn\'t given to it again');
  outgoing.close();
  t.equal(clock.pending, 0);
});

void t.test('what may only go directly, and lost its connection, is refused for that', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('p2p', 'direct');
  const refused: Response[] = [];
  const outgoing = new Outgoing({ clock, reply: (response) => refused.push(response), routes: { route: () => { throw new ProtoflyError('E_NOT_DIRECT', 'no connection'); } } }, { epoch: 'e' });
  void outgoing.send(message(1), bob, lane);
  outgoing.lost(lane);
  for (let second = 0; second < 12; second += 1) { clock.advance(1000); await turns(); }
  t.match(refused, [{ id: 1, body: { code: 503, error: 'E_NOT_DIRECT' } }]);
  outgoing.close();
});

void t.test('a trouble that is over is looked at no more', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane('msg-node', 'node');
  let asked = 0;
  const outgoing = new Outgoing({ clock, reply: unexpected, routes: { route: () => { asked += 1; return lane; } } }, { epoch: 'e', resendMs: 60_000 });
  void outgoing.send(message(1), bob, lane);
  outgoing.settle(refuse(message(1), new ProtoflyError('E_UNREACHABLE', 'not sent')));
  outgoing.wake();
  await turns();
  outgoing.settle(refuse(message(1), new ProtoflyError('E_UNREACHABLE', 'not sent')));
  outgoing.settle(respond(message(1), 200));
  for (let id = 2; id <= 9; id += 1) void outgoing.send(message(id), bob, lane);
  asked = 0;
  for (let look = 0; look < 3; look += 1) { clock.advance(20_000); await turns(); }
  t.ok(asked <= 2, `the way was asked for ${String(asked)} times`);
  outgoing.close();
});

void t.test('a window does what a map would, whatever is added and settled', (t) => {
  fc.assert(fc.property(fc.array(fc.record({ gap: fc.nat(3), settle: fc.array(fc.nat(40), { maxLength: 4 }), from: fc.nat(40), to: fc.nat(40) }), { maxLength: 60 }), (steps) => {
    const window = new Window<{ readonly seq: number; readonly bytes: number }>();
    const model = new Map<number, number>();
    let last = 0;
    for (const { gap, settle, from, to } of steps) {
      last += 1 + gap;
      window.add({ seq: last, bytes: last });
      model.set(last, last);
      for (const back of settle) if (window.delete(last - back) !== model.delete(last - back)) throw new Error('settled otherwise');
      const seqs = [...model.keys()].sort((a, b) => a - b);
      const walked: number[] = [];
      for (let entry = window.oldest; entry !== undefined; entry = window.after(entry.seq)) walked.push(entry.seq);
      const [low, high] = [last - Math.max(from, to), last - Math.min(from, to)];
      const here = { size: window.size, bytes: window.bytes, walked, between: window.between(low, high).map(({ seq }) => seq) };
      const there = { size: model.size, bytes: seqs.reduce((sum, seq) => sum + seq, 0), walked: seqs, between: seqs.filter((seq) => seq >= low && seq <= high) };
      if (JSON.stringify(here) !== JSON.stringify(there)) throw new Error(`${JSON.stringify(here)} instead of ${JSON.stringify(there)}`);
    }
  }));
  const window = new Window<{ readonly seq: number; readonly bytes: number }>();
  for (let seq = 1; seq <= 10_000; seq += 1) {
    window.add({ seq, bytes: 1 });
    if (seq > 10) window.delete(seq - 10);
  }
  t.equal(window.oldest?.seq, 9991, 'a window that moves on for long');
  t.same(window.between(0, Number.MAX_SAFE_INTEGER).map(({ seq }) => seq), Array.from({ length: 10 }, (_, index) => 9991 + index));
  t.end();
});
