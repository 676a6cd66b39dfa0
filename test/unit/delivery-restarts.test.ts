import fc from 'fast-check';
import t from 'tap';
import { idsOf, isBatch, parseAddress, unbatched, type Message, type Request, type Response, type Path } from '../../src/protocol/index.js';
import { Outgoing, Receipts, type Carrier } from '../../src/runtime/delivery/index.js';
import { Inbox, type Attachment, type KeptCheckpoint, type Stored } from '../../src/runtime/hyperties/inbox/index.js';
import { memoryStore } from '../../src/store/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const POSITION_MS = 50;

/** A connection between two runtimes; the test moves the messages of each direction. */
class Lane implements Carrier {
  isAway = false;
  readonly address;
  messages: Message[] = [];
  receipts: Response[] = [];
  constructor(readonly kind: 'p2p' | 'msg-node') {
    this.address = parseAddress(`hyperty-runtime://example.com/r/${kind}`);
  }
  send(sent: Message): void {
    this.messages.push(sent);
  }
}

/**
 * A sender's and a receiver's runtime, either of which may be killed. The message node survives; the connection
 * ends with either runtime.
 */
class World {
  readonly clock = new ManualClock();
  readonly store = memoryStore();
  readonly lanes = { p2p: new Lane('p2p'), 'msg-node': new Lane('msg-node') };
  way: Path = 'msg-node';
  receiverLife = 0;
  life = 0;
  last = 0;
  /** Values in the order in which the program got them. */
  readonly taken: number[] = [];
  readonly acknowledged = new Set<number>();
  /** Messages that may come twice: taken shortly before the receiver was killed. */
  readonly excused = new Set<number>();
  /** Timers of the receiver's current process. */
  readonly #timers: { cancel(): void }[] = [];
  #recent: { value: number; at: number }[] = [];
  /** The first value of each process of the sender. */
  readonly lives: number[] = [1];
  outgoing = this.#startSender();
  inbox = this.#startReceiver();
  attachment: Attachment | undefined;

  send(): void {
    this.last += 1;
    const message: Request = { id: this.last, type: 'create', from: alice, to: bob, body: { value: this.last, expect: 'receipt' } };
    void this.outgoing.send(message, bob, this.#lane(), { batches: true });
  }

  arrive(path: 'p2p' | 'msg-node'): void {
    const next = this.lanes[path].messages.shift();
    if (next === undefined) return;
    for (const message of isBatch(next) ? unbatched(next as Request) : [next]) this.inbox.receive(message, { path });
  }

  receipt(path: 'p2p' | 'msg-node'): void {
    const next = this.lanes[path].receipts.shift();
    const heard = next && this.outgoing.settle(next);
    if (heard !== undefined) for (const id of idsOf(heard)) this.acknowledged.add(id as number);
  }

  /** Ends the connection with the messages in flight on it; further messages take the other path. */
  cut(): void {
    this.lanes.p2p.messages = [];
    this.lanes.p2p.receipts = [];
    this.way = 'msg-node';
    this.outgoing.lost(this.lanes.p2p);
  }

  attach(): void {
    this.attachment ??= this.inbox.attach({ deliver: ({ body }) => {
      this.taken.push(body?.value as number);
      this.#recent.push({ value: body?.value as number, at: this.clock.now() });
    } });
  }

  detach(): void {
    this.attachment?.detach();
    this.attachment = undefined;
  }

  killReceiver(): void {
    for (const { value, at } of this.#recent) if (this.clock.now() - at < POSITION_MS) this.excused.add(value);
    this.#recent = [];
    for (const timer of this.#timers.splice(0)) timer.cancel();
    this.inbox = this.#startReceiver();
    this.attachment = undefined;
    this.cut();
  }

  killSender(): void {
    this.outgoing.close();
    this.lanes['msg-node'].receipts = [];
    this.life += 1;
    this.lives.push(this.last + 1);
    this.outgoing = this.#startSender();
    this.cut();
  }

  async settle(): Promise<void> {
    this.attach();
    const first = this.lives.at(-1)!;
    for (let round = 0; round < 100; round += 1) {
      await turns(2);
      for (const path of ['p2p', 'msg-node'] as const) {
        while (this.lanes[path].messages.length > 0) this.arrive(path);
        await turns(1);
        while (this.lanes[path].receipts.length > 0) this.receipt(path);
      }
      if (Array.from({ length: this.last - first + 1 }, (_, index) => first + index).every((value) => this.acknowledged.has(value))) return;
      this.clock.advance(5000);
    }
  }

  /** Describes the first fault of the history, if any. */
  fault(): string | undefined {
    const counts = new Map<number, number>();
    for (const value of this.taken) counts.set(value, (counts.get(value) ?? 0) + 1);
    const missing = [...this.acknowledged].filter((value) => !counts.has(value));
    if (missing.length > 0) return `acknowledged and never taken: ${missing.join(' ')}`;
    const twice = [...counts].filter(([value, count]) => count > 1 && !this.excused.has(value));
    if (twice.length > 0) return `taken more than once: ${twice.map(([value]) => value).join(' ')}`;
    for (const [index, first] of this.lives.entries()) {
      const end = this.lives[index + 1] ?? Infinity;
      const order = [...new Set(this.taken)].filter((value) => value >= first && value < end);
      if (order.some((value, at) => at > 0 && value < order[at - 1]!)) return `out of order: ${order.join(' ')}`;
    }
    const own = [...counts.keys()].filter((value) => value >= this.lives.at(-1)!);
    return own.length === this.last - this.lives.at(-1)! + 1 ? undefined : `${String(own.length)} of the last life's messages came`;
  }

  #lane(): Lane {
    return this.lanes[this.way === 'p2p' ? 'p2p' : 'msg-node'];
  }

  #startSender(): Outgoing {
    const reply = (refusal: Response): void => { throw new Error(`refused: ${JSON.stringify(refusal)}`); };
    return new Outgoing({ clock: this.clock, routes: { route: () => this.#lane() }, reply }, { epoch: `life${String(this.life)}` });
  }

  #startReceiver(): Inbox {
    const life = this.receiverLife += 1;
    const clock = {
      now: () => this.clock.now(),
      date: () => this.clock.date(),
      setTimeout: (act: () => void, milliseconds: number) => {
        const timer = this.clock.setTimeout(act, milliseconds);
        this.#timers.push(timer);
        return timer;
      },
    };
    const reply = (response: Response): void => {
      // An earlier process sends nothing any more.
      if (life === this.receiverLife) this.lanes[response.body['path'] === 'p2p' ? 'p2p' : 'msg-node'].receipts.push(response);
    };
    return new Inbox({
      stored: this.store.collection<Stored>('inbox'), positions: this.store.collection<KeptCheckpoint>('positions'), clock, log: () => undefined,
      receipts: new Receipts({ reply }), reply,
    }, { address: bob, positionMs: POSITION_MS });
  }
}

type Act = 'send' | 'send some' | 'arrive p2p' | 'arrive msg-node' | 'receipt p2p' | 'receipt msg-node' | 'upward' | 'cut' | 'lose' | 'repeat' | 'wait' | 'moment' | 'attach' | 'detach' | 'kill receiver' | 'kill sender';

const WEIGHTS: Readonly<Record<Act, number>> = {
  send: 5, 'send some': 4, 'arrive p2p': 6, 'arrive msg-node': 6, 'receipt p2p': 4, 'receipt msg-node': 4, upward: 3, cut: 1, lose: 1, repeat: 1, wait: 1, moment: 2, attach: 3, detach: 1, 'kill receiver': 1, 'kill sender': 1,
};

const run = async (acts: readonly Act[]): Promise<string | undefined> => {
  const world = new World();
  for (const act of acts) {
    switch (act) {
      case 'send': world.send(); break;
      case 'send some': for (let count = 0; count < 3; count += 1) world.send(); break;
      case 'arrive p2p': world.arrive('p2p'); break;
      case 'arrive msg-node': world.arrive('msg-node'); break;
      case 'receipt p2p': world.receipt('p2p'); break;
      case 'receipt msg-node': world.receipt('msg-node'); break;
      // The connection is live while messages are in flight through the node; nothing waits for them.
      case 'upward': world.way = 'p2p'; break;
      case 'cut': world.cut(); break;
      case 'lose': world.lanes['msg-node'].messages.shift(); break;
      case 'repeat': world.lanes['msg-node'].messages.push(...world.lanes['msg-node'].messages.slice(0, 1)); break;
      case 'wait': world.clock.advance(4000); break;
      case 'moment': world.clock.advance(POSITION_MS); break;
      case 'attach': world.attach(); break;
      case 'detach': world.detach(); break;
      case 'kill receiver': world.killReceiver(); break;
      case 'kill sender': world.killSender();
    }
    await turns(1);
  }
  await world.settle();
  world.outgoing.close();
  world.inbox.close();
  return world.fault() ?? (world.clock.pending > 0 ? 'a timer is left' : undefined);
};

/** Generates acts of each kind by weight. */
const acts = fc.array(fc.oneof(...Object.entries(WEIGHTS).map(([act, weight]) => ({ weight, arbitrary: fc.constant(act as Act) }))), { maxLength: 100, size: 'max' });

t.test('EXP-1 FLW-2 FLW-5 FLW-8 what was acknowledged was taken: once, but for what was taken just before a receiver was killed; and in order', async (t) => {
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${String(seed)}`);
  await fc.assert(fc.asyncProperty(acts, async (history) => {
    const fault = await run(history);
    if (fault !== undefined) throw new Error(fault);
  }), { numRuns: 300, seed });
});

t.test('FLW-3 a connection that becomes live is used at once, while messages are in flight through the node', async (t) => {
  t.equal(await run(['attach', 'send', 'send', 'send', 'upward', 'send', 'send', 'arrive p2p', 'arrive p2p', 'arrive msg-node', 'arrive msg-node', 'arrive msg-node']), undefined);
  t.equal(await run(['attach', 'send', 'upward', 'send', 'arrive p2p', 'lose', 'cut', 'send', 'arrive msg-node', 'arrive msg-node']), undefined, 'one of them was lost on the node');
});

t.test('FLW-5 a receiver that is restarted goes on where it was', async (t) => {
  t.equal(await run(['attach', 'send', 'send', 'arrive msg-node', 'arrive msg-node', 'moment', 'kill receiver', 'attach', 'wait', 'arrive msg-node', 'arrive msg-node']), undefined);
  t.equal(await run(['send', 'send', 'arrive msg-node', 'arrive msg-node', 'attach', 'kill receiver', 'attach', 'wait', 'arrive msg-node', 'arrive msg-node']), undefined, 'what was on disk goes from there with the news of it');
});

t.test('a copy of a message that waits for one before it is not acknowledged: its first copy may never be taken', async (t) => {
  t.equal(await run(['send', 'lose', 'send', 'repeat', 'kill sender']), undefined);
});
