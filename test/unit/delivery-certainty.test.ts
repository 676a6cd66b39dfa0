import fc from 'fast-check';
import t from 'tap';
import { flowOf, idsOf, isBatch, isSuccess, parseAddress, ProtoflyError, refuse, respond, unbatched, type ErrorCode, type Message, type Request, type Response } from '../../src/protocol/index.js';
import { Incoming, Outgoing, type Carrier } from '../../src/runtime/delivery/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');

class Lane implements Carrier {
  isAway = false;
  readonly kind = 'msg-node';
  readonly address;
  readonly queue: Message[] = [];
  up = true;
  constructor(name: string) {
    this.address = parseAddress(`hyperty-runtime://example.com/r/${name}`);
  }
  send(sent: Message): void {
    if (!this.up) throw new ProtoflyError('E_LINK_CLOSED', `${this.address} is closed`);
    this.queue.push(sent);
  }
}

type Heard = 'taken' | 'refused' | 'unknown';

/** A sender with two routes to a receiver, both of which may fail. Records the sender's answers and the fate of its messages. */
class World {
  readonly clock = new ManualClock();
  readonly lanes = [new Lane('one'), new Lane('other')] as const;
  readonly taken = new Set<number>();
  /** The first final answer per message; the sender expects no more. */
  readonly heard = new Map<number, Heard>();
  readonly #incoming = new Incoming<Request>({ sizeOf: () => 1 });
  readonly #receipts: Response[] = [];
  readonly #outgoing = new Outgoing({ clock: this.clock, routes: { route: () => this.#way() }, reply: (response) => { this.#hear(response); } }, { epoch: 'e' });
  current: 0 | 1 = 0;
  /** True if there is any route. */
  reachable = true;
  sent = 0;

  send(batches: boolean): void {
    this.sent += 1;
    const message: Request = { id: this.sent, type: 'create', from: alice, to: bob, body: { value: this.sent, expect: 'receipt' } };
    if (this.reachable) void this.#outgoing.send(message, bob, this.lanes[this.current], { batches });
    else void this.#outgoing.hold(message, bob, new ProtoflyError('E_UNREACHABLE', 'no way'));
  }

  arrive(lane: Lane): void {
    const next = lane.queue.shift();
    if (next === undefined) return;
    for (const message of isBatch(next) ? unbatched(next as Request) : [next as Request]) {
      const sorted = this.#incoming.sort(message, message.from, flowOf(message)!);
      if (sorted.kind === 'repeated') this.#receipts.push(respond(message, 200));
      if (sorted.kind !== 'ready') continue;
      for (const ready of sorted.items) {
        this.taken.add(ready.body!.value as number);
        this.#incoming.taken(ready.from, flowOf(ready)!);
        this.#receipts.push(respond(ready, 200));
      }
    }
  }

  receipt(isLost: boolean): void {
    const receipt = this.#receipts.shift();
    if (receipt !== undefined && !isLost) this.#settle(receipt);
  }

  /** The carrier, or a hop behind it, refuses the next message. */
  turnAway(lane: Lane, code: ErrorCode): void {
    const message = lane.queue.shift();
    if (message !== undefined) this.#settle(refuse(message as Request, new ProtoflyError(code, 'not passed on')));
  }

  cut(lane: Lane): void {
    lane.queue.length = 0;
    this.current = lane === this.lanes[0] ? 1 : 0;
    this.#outgoing.lost(lane);
  }

  async wait(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      this.clock.advance(1000);
      await turns(2);
    }
  }

  /** Lets messages in flight arrive. */
  async end(): Promise<void> {
    await turns(2);
    for (const lane of this.lanes) while (lane.queue.length > 0) this.arrive(lane);
    this.#outgoing.close();
  }

  #way(): Carrier {
    if (!this.reachable) throw new ProtoflyError('E_UNREACHABLE', 'no way');
    return this.lanes[this.current];
  }

  #settle(response: Response): void {
    const heard = this.#outgoing.settle(response);
    if (heard !== undefined) this.#hear(heard);
  }

  #hear(response: Response): void {
    const what: Heard = isSuccess(response) ? 'taken' : response.body['uncertain'] === true ? 'unknown' : 'refused';
    // The refusal of a batch may name ids of messages that have their answer already.
    for (const id of idsOf(response)) if (typeof id === 'number' && !this.heard.has(id)) this.heard.set(id, what);
  }
}

const lane = fc.constantFrom(0 as const, 1 as const);
const act = <T extends string, A extends object>(weight: number, name: T, more?: { [K in keyof A]: fc.Arbitrary<A[K]> }) =>
  ({ weight, arbitrary: fc.record({ act: fc.constant(name), ...more }) as unknown as fc.Arbitrary<{ readonly act: T } & A> });

const step = fc.oneof(
  act(8, 'send', { batches: fc.boolean() }),
  act(5, 'arrive', { lane }),
  act(3, 'receipt', { lost: fc.boolean() }),
  act(3, 'turn away', { lane, code: fc.constantFrom<ErrorCode>('E_UNREACHABLE', 'E_UNAVAILABLE', 'E_NOT_FOUND') }),
  act(2, 'cut', { lane }),
  act(1, 'drop', { lane }),
  act(1, 'close or open', { lane }),
  act(1, 'away or not', { lane }),
  act(2, 'reach or not'),
  act(2, 'wait', { seconds: fc.integer({ min: 1, max: 12 }) }),
  act(4, 'turn'),
);

t.test('EXP-6 what a sender hears is true: delivered was taken, refused never is', async (t) => {
  const counts: Record<Heard, number> = { taken: 0, refused: 0, unknown: 0 };
  const property = fc.asyncProperty(fc.array(step, { maxLength: 100, size: 'max' }), async (steps) => {
    const world = new World();
    for (const one of steps) {
      switch (one.act) {
        case 'send': world.send(one.batches); break;
        case 'arrive': world.arrive(world.lanes[one.lane]); break;
        case 'receipt': world.receipt(one.lost); break;
        case 'turn away': world.turnAway(world.lanes[one.lane], one.code); break;
        case 'cut': world.cut(world.lanes[one.lane]); break;
        case 'drop': world.lanes[one.lane].queue.shift(); break;
        case 'close or open': world.lanes[one.lane].up = !world.lanes[one.lane].up; break;
        case 'away or not': world.lanes[one.lane].isAway = !world.lanes[one.lane].isAway; break;
        case 'reach or not': world.reachable = !world.reachable; break;
        case 'wait': await world.wait(one.seconds); break;
        case 'turn': await turns(1);
      }
    }
    await world.end();
    for (const [id, heard] of world.heard) {
      counts[heard] += 1;
      if (heard === 'refused' && world.taken.has(id)) throw new Error(`message ${String(id)} was refused, and taken`);
      if (heard === 'taken' && !world.taken.has(id)) throw new Error(`message ${String(id)} is said to be taken, and isn't`);
    }
  });
  await fc.assert(property, { numRuns: 500 });
  t.ok(counts.taken > 0 && counts.refused > 0 && counts.unknown > 0, `the histories had each: ${JSON.stringify(counts)}`);
});

t.test('a message that never left is refused for certain, one that left and was never heard of is not', async (t) => {
  const world = new World();
  world.reachable = false;
  world.send(false);
  await world.wait(12);
  t.equal(world.heard.get(1), 'refused');
  world.reachable = true;
  world.send(false);
  await turns(1);
  world.reachable = false;
  world.cut(world.lanes[0]);
  await world.wait(12);
  t.equal(world.heard.get(2), 'unknown');
  await world.end();
});

t.test('EXP-6 a message node\'s word that nobody is there is not about a copy that went another way', async (t) => {
  const world = new World();
  world.send(false);
  world.arrive(world.lanes[0]);
  world.cut(world.lanes[0]);
  await turns(2);
  world.turnAway(world.lanes[1], 'E_UNAVAILABLE');
  t.same([...world.taken], [1]);
  t.equal(world.heard.get(1), 'unknown');
  await world.end();
});
