import fc from 'fast-check';
import t from 'tap';
import { flowOf, parseAddress, ProtoflyError, refuse, respond, type Message, type Request, type Response } from '../../src/protocol/index.js';
import { Incoming, Outgoing, type Carrier } from '../../src/runtime/delivery/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const message = (id: number): Request => ({ id, type: 'create', from: alice, to: bob, body: { value: id, expect: 'receipt' } });

/** A carrier whose other end is let go by hand. */
class Lane implements Carrier {
  readonly address;
  readonly queue: Message[] = [];
  up = true;
  constructor(readonly kind: 'p2p' | 'msg-node', name: string) {
    this.address = parseAddress(`hyperty-runtime://example.com/r/${name}`);
  }
  send(sent: Message): void {
    this.queue.push(sent);
  }
}

/** Two runtimes' delivery halves with two lanes between them. */
class Pair {
  readonly clock = new ManualClock();
  readonly lanes = [new Lane('msg-node', 'node'), new Lane('p2p', 'direct')] as const;
  readonly taken: number[] = [];
  readonly receipts: Response[] = [];
  readonly acknowledged: number[] = [];
  current: 0 | 1 = 0;
  readonly incoming = new Incoming();
  readonly outgoing = new Outgoing({ clock: this.clock, route: () => this.lanes[this.current] }, { epoch: 'e1' });
  #id = 0;

  send(): void {
    this.#id += 1;
    void this.outgoing.send(message(this.#id), bob, this.lanes[this.current]);
  }

  get sent(): number {
    return this.#id;
  }

  arrive(lane: Lane): void {
    const next = lane.queue.shift();
    if (next === undefined) return;
    const mark = flowOf(next);
    if (mark === undefined) throw new Error('a message without its flow mark');
    const sorted = this.incoming.sort(next, mark);
    const acknowledge = (one: Message): void => { this.receipts.push(respond(one as Request, 200)); };
    if (sorted.kind === 'repeated') acknowledge(next);
    if (sorted.kind !== 'ready') return;
    for (const ready of sorted.messages) {
      this.taken.push(ready.body!.value as number);
      acknowledge(ready);
    }
  }

  receipt(): void {
    const receipt = this.receipts.shift();
    if (receipt === undefined) return;
    this.acknowledged.push(receipt.id as number);
    this.outgoing.settle(receipt);
  }

  /** Everything that is under way arrives, and time passes, until nothing moves any more. */
  async settle(): Promise<void> {
    for (let round = 0; round < 200; round += 1) {
      await turns(2);
      for (const lane of this.lanes) while (lane.queue.length > 0) this.arrive(lane);
      while (this.receipts.length > 0) this.receipt();
      if (new Set(this.acknowledged).size === this.sent) return;
      this.clock.advance(5000);
    }
  }
}

void t.test('whatever happens on the way, every message is taken once and in order', async (t) => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant({ act: 'send' as const }) },
    { weight: 6, arbitrary: fc.record({ act: fc.constant('arrive' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 4, arbitrary: fc.constant({ act: 'receipt' as const }) },
    { weight: 1, arbitrary: fc.constant({ act: 'lose receipt' as const }) },
    { weight: 2, arbitrary: fc.constant({ act: 'switch' as const }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('cut' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('drop one' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('repeat one' as const), lane: fc.constantFrom(0 as const, 1 as const) }) },
    { weight: 1, arbitrary: fc.constant({ act: 'wait' as const }) },
  );
  const property = fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
    const pair = new Pair();
    for (const one of steps) {
      switch (one.act) {
        case 'send': pair.send(); break;
        case 'arrive': pair.arrive(pair.lanes[one.lane]); break;
        case 'receipt': pair.receipt(); break;
        case 'lose receipt': pair.receipts.shift(); break;
        case 'switch': pair.current = pair.current === 0 ? 1 : 0; break;
        case 'cut':
          pair.lanes[one.lane].queue.length = 0;
          pair.current = one.lane === 0 ? 1 : 0;
          pair.outgoing.lost(pair.lanes[one.lane]);
          break;
        case 'drop one': pair.lanes[one.lane].queue.shift(); break;
        case 'repeat one': pair.lanes[one.lane].queue.push(...pair.lanes[one.lane].queue.slice(0, 1)); break;
        case 'wait':
          pair.clock.advance(4000);
          await turns(2);
      }
    }
    await pair.settle();
    pair.outgoing.close();
    const expected = Array.from({ length: pair.sent }, (_, index) => index + 1);
    if (JSON.stringify(pair.taken) !== JSON.stringify(expected)) throw new Error(`taken ${JSON.stringify(pair.taken)} of ${String(pair.sent)}`);
    if (new Set(pair.acknowledged).size !== pair.sent) throw new Error(`acknowledged ${JSON.stringify(pair.acknowledged)}`);
    if (pair.clock.pending > 0) throw new Error('a timer is left');
  });
  // fast-check prints the seed of what fails.
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
  const outgoing = new Outgoing({ clock, route: () => lane }, { epoch: 'e', maxOutstanding: 4 });
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
  const outgoing = new Outgoing({ clock, route: () => lane }, { epoch: 'e', resendMs: 3000 });
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
  const outgoing = new Outgoing({ clock, route: () => way }, { epoch: 'e', resendMs: 3000 });
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
  t.equal(pair.outgoing.settle(respond(message(1), 429, { error: 'E_TOO_MANY' })), true);
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
  const incoming = new Incoming({ maxHeld: 3 });
  const mark = (seq: number, base: number) => ({ epoch: 'e', seq, base });
  t.equal(incoming.sort(message(1), mark(1, 1)).kind, 'ready');
  t.equal(incoming.sort(message(3), mark(3, 1)).kind, 'held');
  t.equal(incoming.sort(message(2), mark(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1)).kind, 'ready');
  t.equal(incoming.sort(message(5), { epoch: 'f', seq: 5, base: 1 }).kind, 'held');
  t.equal(incoming.sort(message(6), { epoch: 'f', seq: 6, base: 1 }).kind, 'held');
  t.equal(incoming.sort(message(7), { epoch: 'f', seq: 7, base: 1 }).kind, 'held');
  t.equal(incoming.sort(message(8), { epoch: 'f', seq: 8, base: 1 }).kind, 'overflow');
  t.equal(incoming.sort(message(5), { epoch: 'f', seq: 5, base: 1 }).kind, 'held', 'a copy of one that is held isn\'t acknowledged before it');
  t.end();
});

void t.test('a carrier\'s word that it couldn\'t send is not the receiver\'s: the message goes again, for as long as its sender may hope', async (t) => {
  const pair = new Pair();
  pair.send();
  const [lane] = pair.lanes;
  const unsent = refuse(message(1), new ProtoflyError('E_UNREACHABLE', 'not sent'));
  t.equal(pair.outgoing.settle(unsent), false);
  lane.queue.length = 0;
  pair.clock.advance(5000);
  await turns();
  t.equal(lane.queue.length, 1, 'it was sent again');
  pair.clock.advance(6000);
  t.equal(pair.outgoing.settle(unsent), true, 'after ten seconds without any receipt the sender is told');
});
