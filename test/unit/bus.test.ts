import t from 'tap';
import { MessageBus, type BusInit, type Listener, type Origin, type Resolver } from '../../src/bus/index.js';
import { parseAddress, parseMessage, ProtoflyError, refuse, respond, responseError, type Address, type Clock, type Message, type Request, type Response } from '../../src/protocol/index.js';

/** A clock that a test advances by hand. */
class HandClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ at: number; run: () => void }>();
  now(): number { return this.#now; }
  date(): number { return this.#now; }
  setTimeout(run: () => void, milliseconds: number): { cancel(): void } {
    const timer = { at: this.#now + milliseconds, run };
    this.#timers.add(timer);
    return { cancel: () => { this.#timers.delete(timer); } };
  }
  get pending(): number { return this.#timers.size; }
  pass(milliseconds: number): void {
    this.#now += milliseconds;
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at)) {
      this.#timers.delete(timer);
      timer.run();
    }
  }
}

/** Creates a promise that is settled from outside. */
const gate = <T = void>(): { promise: Promise<T>; open: (value: T) => void; fail: (reason: unknown) => void } => {
  let open: (value: T) => void = () => undefined;
  let fail: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((resolve, reject) => { open = resolve; fail = reject; });
  return { promise, open, fail };
};

/** Lets everything run that needs only a turn of the event loop. */
const settled = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

const address = (text: string): Address => parseAddress(text);
const ALICE = address('hyperty://a.example/alice');
const BOB = address('hyperty://b.example/bob');
const CAROL = address('hyperty://b.example/carol');
const RUNTIME = address('hyperty-runtime://a.example/r1');
const link = (name: string): Origin => ({ name });

let ids = 0;
const message = (to: Address | readonly Address[], fields: Record<string, unknown> = {}): Message => parseMessage({ id: ids += 1, type: 'create', from: ALICE, to, ...fields });
const valueOf = (received: Message): unknown => received.body?.value;

interface Inbox {
  readonly received: Message[];
  readonly listener: Listener;
}
const inbox = (): Inbox => {
  const received: Message[] = [];
  return { received, listener: (one) => { received.push(one); } };
};

const busWith = (resolver?: Resolver, init?: BusInit): { bus: MessageBus; clock: HandClock; drops: string[] } => {
  const clock = new HandClock();
  const drops: string[] = [];
  const bus = new MessageBus({ clock }, { onDrop: (_, why) => drops.push(why), ...init });
  if (resolver !== undefined) bus.resolveBy(resolver);
  return { bus, clock, drops };
};

t.test('a message goes to every listener of exactly its address, until they are removed', async (t) => {
  const { bus } = busWith();
  const [one, two, other] = [inbox(), inbox(), inbox()];
  const removeOne = bus.addListener(BOB, one.listener);
  const removeTwo = bus.addListener(BOB, two.listener);
  bus.addListener(CAROL, other.listener);
  const first = message(BOB);
  t.equal(bus.post(first), undefined, 'there is no backpressure');
  t.equal(one.received[0], first, 'the very message');
  t.equal(two.received[0], first);
  removeOne();
  removeOne();
  void bus.post(message(BOB));
  t.strictSame([one.received.length, two.received.length, other.received.length], [1, 2, 0]);
  t.equal(bus.isLocal(BOB), true);
  removeTwo();
  t.equal(bus.isLocal(BOB), false);
});

t.test('the listener nearest above an address gets what has no listener of its own', async (t) => {
  const { bus } = busWith();
  const [high, low, exact, answers] = [inbox(), inbox(), inbox(), inbox()];
  const removeHigh = bus.addSubtreeListener(RUNTIME, high.listener);
  const removeLow = bus.addSubtreeListener(address(`${RUNTIME}/p2phandler`), low.listener);
  bus.addListener(address(`${RUNTIME}/p2phandler/1`), exact.listener);
  bus.addListener(ALICE, answers.listener);
  const targets: [to: string, expected: Inbox][] = [
    [RUNTIME, high], [`${RUNTIME}/sm`, high], [`${RUNTIME}/a/b/c`, high], [`${RUNTIME}/p2phandler`, low], [`${RUNTIME}/p2phandler/2`, low], [`${RUNTIME}/p2phandler/1`, exact], [`${RUNTIME}/p2phandler/1/status`, low],
  ];
  for (const [to, expected] of targets) {
    const before = expected.received.length;
    void bus.post(message(address(to)));
    t.equal(expected.received.length, before + 1, to);
  }
  t.equal(high.received.length + low.received.length + exact.received.length, targets.length, 'each went to one place');
  t.throws(() => bus.addSubtreeListener(RUNTIME, inbox().listener), { code: 'E_CONFLICT' });
  for (const stranger of [`${RUNTIME}2`, 'hyperty-runtime://a.example/r', 'hyperty://a.example/r1']) t.equal(bus.isLocal(address(stranger)), false, `${stranger} is not below`);
  removeLow();
  void bus.post(message(address(`${RUNTIME}/p2phandler/2`)));
  t.equal(high.received.length, 4, 'the next one above takes over');
  removeHigh();
  removeHigh();
  void bus.post(message(address(`${RUNTIME}/sm`)));
  t.match(answers.received, [{ type: 'response', body: { code: 404, error: 'E_NOT_FOUND' } }]);
  const again = bus.addSubtreeListener(RUNTIME, low.listener);
  removeHigh();
  t.equal(bus.isLocal(RUNTIME), true, 'removing what is gone leaves its successor alone');
  again();
});

t.test('a list of recipients: each gets the message as its own, refusals come one by one, the backpressure is that of all', async (t) => {
  const { bus } = busWith();
  const [bob, carol, answers] = [inbox(), inbox(), inbox()];
  const congestion = gate();
  bus.addListener(BOB, (one) => { void bob.listener(one, undefined); return congestion.promise; });
  bus.addListener(CAROL, carol.listener);
  bus.addListener(ALICE, answers.listener);
  const nobody = address('hyperty://b.example/nobody');
  const sent = message([BOB, nobody, CAROL], { body: { value: 'all' } });
  let released = false;
  const backpressure = Promise.resolve(bus.post(sent)).then(() => { released = true; });
  t.strictSame(bob.received, [{ ...sent, to: BOB }]);
  t.strictSame(carol.received, [{ ...sent, to: CAROL }]);
  t.match(answers.received, [{ id: sent.id, from: nobody, to: ALICE, body: { code: 404 } }]);
  t.strictSame(sent.to, [BOB, nobody, CAROL], 'the message itself is not changed');
  await settled();
  t.equal(released, false);
  congestion.open();
  await backpressure;
});

t.test('RTE-9: nothing goes back over the link it came from', async (t) => {
  const { bus } = busWith();
  const [near, far] = [link('near'), link('far')];
  const [nearOne, nearTwo, farOne, local, above, answers] = [inbox(), inbox(), inbox(), inbox(), inbox(), inbox()];
  bus.addListener(BOB, nearOne.listener, near);
  bus.addListener(BOB, farOne.listener, far);
  bus.addListener(BOB, nearTwo.listener, near);
  bus.addListener(BOB, local.listener);
  bus.addListener(ALICE, answers.listener);
  void bus.post(message(BOB), near);
  t.strictSame([nearOne, nearTwo, farOne, local].map(({ received }) => received.length), [0, 0, 1, 1]);
  void bus.post(message(BOB), far);
  t.strictSame([nearOne, nearTwo, farOne, local].map(({ received }) => received.length), [1, 1, 1, 2]);
  void bus.post(message(BOB), link('near'));
  t.strictSame([nearOne, nearTwo, farOne, local].map(({ received }) => received.length), [2, 2, 2, 3], 'links are told apart by identity, not by name');

  bus.addListener(CAROL, nearOne.listener, near);
  void bus.post(message(CAROL), near);
  t.match(answers.received.at(-1), { body: { code: 404 } }, 'the only listener being where it came from, nobody has it');
  bus.addSubtreeListener(RUNTIME, above.listener, near);
  void bus.post(message(address(`${RUNTIME}/x`)), near);
  t.match(answers.received.at(-1), { body: { code: 404 } }, 'the same for a subtree');
  void bus.post(message(address(`${RUNTIME}/x`)), far);
  t.equal(above.received.length, 1);
});

t.test('RTE-9: the resolver is told where a message came in, also for the listener it asks for', async (t) => {
  const asked: (string | undefined)[] = [];
  const { bus } = busWith({ resolve: (_, to, origin) => { asked.push(`${to} from ${String(origin?.name)}`); return (_message, from) => { asked.push(`handed from ${String(from?.name)}`); }; } });
  bus.addListener(BOB, inbox().listener, undefined);
  const near = link('near');
  bus.addListener(CAROL, inbox().listener, near);
  void bus.post(message(CAROL), near);
  t.strictSame(asked, [`${CAROL} from near`, 'handed from near']);
});

t.test('a request gets its response, and no other request\'s', async (t) => {
  const { bus, clock } = busWith();
  bus.addListener(BOB, (one) => bus.post(respond(one as Request, 200, { value: `you said ${String(valueOf(one))}` })));
  const answers = await Promise.all([1, 2, 3].map((value) => bus.request({ type: 'read', from: ALICE, to: BOB, body: { value } })));
  t.strictSame(answers.map(valueOf), ['you said 1', 'you said 2', 'you said 3']);
  t.equal(clock.pending, 0, 'no timer is left');
  t.strictSame((await bus.ask({ type: 'read', from: ALICE, to: BOB })).body.code, 200);
});

t.test('MSG-8: a request that nobody answers gets a 408 from the sender\'s own bus, and the late response is dropped and counted', async (t) => {
  const { bus, clock, drops } = busWith(undefined, { timeoutMs: 5000 });
  const bob = inbox();
  bus.addListener(BOB, bob.listener);
  const slow = bus.request({ type: 'read', from: ALICE, to: BOB });
  const quick = bus.request({ type: 'read', from: ALICE, to: [BOB, BOB] }, { timeoutMs: 100 });
  clock.pass(100);
  t.match(await quick, { type: 'response', from: BOB, to: ALICE, body: { code: 408, error: 'E_TIMEOUT' } });
  clock.pass(4899);
  let ended = false;
  void slow.then(() => { ended = true; });
  await settled();
  t.equal(ended, false);
  clock.pass(1);
  t.match(await slow, { body: { code: 408, error: 'E_TIMEOUT' } });
  t.equal(bus.dropped, 0);
  void bus.post(respond(bob.received[0] as Request, 200));
  t.equal(bus.dropped, 1);
  t.equal(drops.length, 1);
  await t.rejects(async () => { const late = bus.ask({ type: 'read', from: ALICE, to: BOB }); clock.pass(5000); await late; }, { code: 'E_TIMEOUT' }, 'for those who want success it is an error');
});

t.test('MSG-6: provisional responses are told and leave the request open', async (t) => {
  const { bus } = busWith();
  const bob = inbox();
  bus.addListener(BOB, bob.listener);
  const told: number[] = [];
  const request = bus.request({ type: 'execute', from: ALICE, to: BOB }, { onProvisional: (response) => { told.push(response.body.code); } });
  const asked = bob.received[0] as Request;
  for (const code of [100, 183, 199]) void bus.post(respond(asked, code));
  await settled();
  t.strictSame(told, [100, 183, 199]);
  void bus.post(respond(asked, 486));
  t.equal((await request).body.code, 486);
  void bus.post(respond(asked, 183));
  t.strictSame([told.length, bus.dropped], [3, 1], 'nothing is told after the end');

  const unlucky = bus.request({ type: 'execute', from: ALICE, to: BOB }, { onProvisional: () => { throw new TypeError('mine'); } });
  t.doesNotThrow(() => bus.post(respond(bob.received[1] as Request, 183)), 'who posts a response doesn\'t suffer from who waits for it');
  await t.rejects(unlucky, { code: 'E_INTERNAL', message: 'mine' });
});

t.test('a request can be given up', async (t) => {
  const { bus, clock } = busWith();
  const bob = inbox();
  bus.addListener(BOB, bob.listener);
  const controller = new AbortController();
  const request = bus.request({ type: 'read', from: ALICE, to: BOB }, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await t.rejects(request, { code: 'E_ABORTED', cause: { message: 'enough' } });
  await t.rejects(bus.request({ type: 'read', from: ALICE, to: BOB }, { signal: controller.signal }), { code: 'E_ABORTED' }, 'also before it was sent');
  t.strictSame([bob.received.length, clock.pending], [1, 0]);
  void bus.post(respond(bob.received[0] as Request, 200));
  t.equal(bus.dropped, 1);
});

t.test('a response counts only from who was asked, to who asked, with the id of the request', async (t) => {
  const { bus } = busWith();
  const bob = inbox();
  bus.addListener(BOB, bob.listener);
  const request = bus.request({ type: 'read', from: ALICE, to: [BOB, CAROL] });
  const asked = bob.received[0] as Request;
  t.match(await request, { from: CAROL, body: { code: 404 } }, 'any of the recipients may answer; here the one who isn\'t there');

  const second = bus.request({ type: 'read', from: ALICE, to: BOB });
  const { id } = bob.received[1] as Request;
  t.not(id, asked.id);
  const genuine: Response = respond(bob.received[1] as Request, 200, { value: 'genuine' });
  const forged: Response[] = [
    { ...genuine, from: CAROL, body: { code: 200, value: 'forged' } }, { ...genuine, to: CAROL, body: { code: 200, value: 'forged' } }, { ...genuine, id: String(id), body: { code: 200, value: 'forged' } },
    { ...genuine, id: `#${String(id)}`, body: { code: 200, value: 'forged' } }, { ...genuine, id: Number(id) + 1, body: { code: 200, value: 'forged' } }, { ...genuine, from: address(`${BOB}/below`), body: { code: 200, value: 'forged' } },
  ];
  for (const response of forged) void bus.post(response);
  void bus.post(genuine);
  t.equal(valueOf(await second), 'genuine');
  t.equal(bus.dropped, forged.length, 'the forged ones were dropped and counted');
  void bus.post(genuine);
  t.equal(bus.dropped, forged.length + 1, 'and so is the second one');
});

t.test('who asks over a link isn\'t asked itself', async (t) => {
  const { bus } = busWith();
  const near = link('near');
  const bob = inbox();
  bus.addListener(BOB, bob.listener, near);
  t.match(await bus.request({ type: 'read', from: ALICE, to: BOB }, { origin: near }), { body: { code: 404 } });
  t.equal(bob.received.length, 0);
});

t.test('RTE-8: where nobody knows an address the sender hears 404; a response to it is dropped', async (t) => {
  const { bus, drops } = busWith();
  const answers = inbox();
  bus.addListener(ALICE, answers.listener);
  void bus.post(message(BOB, { id: 'x' }));
  t.match(answers.received, [{ id: 'x', type: 'response', from: BOB, to: ALICE, body: { code: 404, error: 'E_NOT_FOUND' } }]);
  void bus.post(message(BOB, { from: CAROL }));
  void bus.post(message(BOB, { type: 'response', body: { code: 200 } }));
  await settled();
  t.equal(bus.dropped, 2, 'nobody to answer, and a response to nobody');
  t.equal(drops.length, 2);
});

t.test('RTE-8: what the resolver refuses is answered with its code and reason', async (t) => {
  for (const [how, resolve] of Object.entries({
    thrown: () => { throw new ProtoflyError('E_REFUSED', 'not you', { hint: 'ask' }); },
    rejected: () => Promise.reject(new ProtoflyError('E_REFUSED', 'not you', { hint: 'ask' })),
  })) {
    const { bus } = busWith({ resolve });
    t.match(await bus.request({ type: 'read', from: ALICE, to: BOB }), { from: BOB, body: { code: 403, error: 'E_REFUSED', description: 'not you', hint: 'ask' } }, how);
    await t.rejects(bus.ask({ type: 'read', from: ALICE, to: BOB }), { code: 'E_REFUSED', message: 'not you', hint: 'ask' }, how);
    void bus.post(message(BOB, { from: CAROL }));
    await settled();
    t.equal(bus.dropped, 1, `${how}: an answer that has no way back itself is dropped, once`);
  }
  const { bus } = busWith({ resolve: () => Promise.reject(new TypeError('bug')) });
  t.match(await bus.request({ type: 'read', from: ALICE, to: BOB }), { body: { code: 500, error: 'E_INTERNAL' } });
});

t.test('RTE-8: the answer finds its way to a sender elsewhere', async (t) => {
  const far = inbox();
  const { bus } = busWith({ resolve: (_, to) => { if (to === ALICE) return far.listener; throw new ProtoflyError('E_NOT_FOUND', 'nobody'); } });
  void bus.post(message(BOB, { id: 9 }), link('near'));
  await settled();
  t.match(far.received, [{ id: 9, type: 'response', to: ALICE, body: { code: 404 } }]);
});

t.test('a listener that throws, at once or later, is answered 500; nobody else notices', async (t) => {
  for (const [how, broken] of Object.entries<Listener>({ thrown: () => { throw new TypeError('broken'); }, rejected: async () => { await settled(); throw new TypeError('broken'); } })) {
    const { bus, drops } = busWith({ resolve: () => (how === 'thrown' ? broken : Promise.resolve(broken)) });
    const good = inbox();
    bus.addListener(BOB, broken);
    bus.addListener(BOB, good.listener);
    t.match(await bus.request({ type: 'read', from: ALICE, to: BOB }), { body: { code: 500, description: 'broken' } }, `${how}: answered`);
    t.equal(good.received.length, 1, `${how}: the other listener has it`);
    t.match(await bus.request({ type: 'read', from: ALICE, to: CAROL }), { body: { code: 500 } }, `${how}: the same for a listener that was resolved`);
    await t.resolves(async () => { await bus.post(message(BOB)); }, `${how}: backpressure never rejects`);
    bus.addListener(ALICE, broken);
    const before = bus.dropped;
    void bus.post(message(address('hyperty://b.example/nobody'), { type: 'response', body: { code: 200 } }));
    void bus.post(message(BOB));
    await settled();
    await settled();
    t.ok(bus.dropped > before && drops.length === bus.dropped, `${how}: what its sender can't take is dropped, not thrown`);
  }
});

t.test('the order is kept while a way is looked for', async (t) => {
  const found = gate<Listener>();
  const resolved: unknown[] = [];
  const bob = inbox();
  const { bus } = busWith({ resolve: (one) => { resolved.push(valueOf(one)); return resolved.length === 1 ? found.promise : bob.listener; } });
  const carol = inbox();
  bus.addListener(CAROL, carol.listener);
  const backpressures = [1, 2, 3, 4].map((value) => bus.post(message(BOB, { body: { value } })));
  t.ok(backpressures.every((backpressure) => backpressure instanceof Promise), 'the senders are told to wait');
  void bus.post(message(CAROL));
  t.equal(carol.received.length, 1, 'other addresses don\'t wait');
  await settled();
  t.strictSame([resolved, bob.received.length], [[1], 0], 'one look-up for all');
  found.open(bob.listener);
  await Promise.all(backpressures);
  t.strictSame(bob.received.map(valueOf), [1, 2, 3, 4]);
  t.equal(bus.post(message(BOB, { body: { value: 5 } })), undefined, 'no backpressure is left');
  t.strictSame(bob.received.map(valueOf), [1, 2, 3, 4, 5]);
});

t.test('the order is kept when each message has its way looked for, when ways fail, and under backpressure', async (t) => {
  const ways: { promise: Promise<Listener>; open: (listener: Listener) => void; fail: (reason: unknown) => void }[] = [];
  const { bus } = busWith({ resolve: () => { const way = gate<Listener>(); ways.push(way); return way.promise; } });
  const [bob, answers] = [inbox(), inbox()];
  bus.addListener(ALICE, answers.listener);
  const congestion = gate();
  for (const value of [1, 2, 3, 4]) void bus.post(message(BOB, { body: { value } }));
  t.equal(ways.length, 1);
  ways[0]!.open((one, origin) => { void bob.listener(one, origin); return congestion.promise; });
  await settled();
  void bus.post(message(BOB, { body: { value: 5 } }));
  t.strictSame([bob.received.map(valueOf), ways.length], [[1], 1], 'while the listener has enough, nothing more is looked for or given');
  congestion.open();
  await settled();
  t.equal(ways.length, 2);
  ways[1]!.fail(new ProtoflyError('E_UNREACHABLE', 'down'));
  await settled();
  ways[2]!.open(bob.listener);
  await settled();
  // From here on there is a local listener, so the address isn't looked up any more.
  bus.addListener(BOB, bob.listener);
  const last = bus.post(message(BOB, { body: { value: 6 } }));
  t.strictSame(bob.received.map(valueOf), [1, 3], 'what comes meanwhile stays behind');
  ways[3]!.open(bob.listener);
  await last;
  t.strictSame(bob.received.map(valueOf), [1, 3, 4, 5, 6]);
  t.match(answers.received, [{ body: { code: 503, description: 'down' } }]);
});

t.test('the order is kept when a listener makes its sender post again', async (t) => {
  const found = gate<Listener>();
  let lookedFor = false;
  const order: unknown[] = [];
  const take: Listener = (one) => {
    order.push(valueOf(one));
    // A listener that gets a number posts another message at once.
    if (typeof valueOf(one) === 'number') void bus.post(message(BOB, { body: { value: `after ${String(valueOf(one))}` } }));
  };
  const { bus } = busWith({ resolve: () => { if (lookedFor) return take; lookedFor = true; return found.promise; } });
  const all = [1, 2, 3].map((value) => bus.post(message(BOB, { body: { value } })));
  found.open(take);
  await Promise.all(all);
  t.strictSame(order, [1, 2, 3, 'after 1', 'after 2', 'after 3']);
});

t.test('what waits for one address is bounded: beyond it the sender hears 429', async (t) => {
  const found = gate<Listener>();
  const { bus } = busWith({ resolve: () => found.promise }, { maxWaiting: 3 });
  const [bob, answers] = [inbox(), inbox()];
  bus.addListener(ALICE, answers.listener);
  const all = [1, 2, 3, 4, 5, 6].map((value) => bus.post(message(BOB, { id: value, body: { value } })));
  void bus.post(message(BOB, { type: 'response', body: { code: 200 } }));
  t.match(answers.received.map(({ id, body }) => [id, body?.['code']]), [[5, 429], [6, 429]], 'one is on its way, three wait, two are refused');
  t.equal(bus.dropped, 1, 'a response is dropped');
  found.open(bob.listener);
  await Promise.all(all);
  t.strictSame(bob.received.map(valueOf), [1, 2, 3, 4]);
});

t.test('a response that waits for its way stays in order, too', async (t) => {
  const found = gate<Listener>();
  const { bus } = busWith({ resolve: () => found.promise });
  const bob = inbox();
  const all = [bus.post(message(BOB, { id: 1 })), bus.post(message(BOB, { id: 2, type: 'response', body: { code: 200 } })), bus.post(message(BOB, { id: 3 }))];
  found.open(bob.listener);
  await Promise.all(all);
  t.strictSame(bob.received.map(({ id }) => id), [1, 2, 3]);
});

t.test('a delivery takes as many look-ups with 100,000 listeners as with 10', async (t) => {
  const lookUps = (listeners: number): number => {
    const { bus } = busWith();
    const target = inbox();
    for (let index = 0; index < listeners; index += 1) {
      bus.addListener(address(`hyperty://b.example/${String(index)}`), target.listener, link('x'));
      bus.addSubtreeListener(address(`hyperty-runtime://b.example/${String(index)}`), target.listener, link('y'));
    }
    const { get, has, forEach, values, entries, keys } = Map.prototype;
    const original = { get, has, forEach, values, entries, keys, [Symbol.iterator]: Map.prototype[Symbol.iterator] };
    let count = 0;
    // Counts only during four posts.
    Object.assign(Map.prototype, {
      get(this: Map<unknown, unknown>, key: unknown) { count += 1; return original.get.call(this, key); },
      has(this: Map<unknown, unknown>, key: unknown) { count += 1; return original.has.call(this, key); },
      ...Object.fromEntries((['forEach', 'values', 'entries', 'keys'] as const).map((name) => [name, () => { throw new Error(`${name}: goes over all listeners`); }])),
      [Symbol.iterator]: () => { throw new Error('goes over all listeners'); },
    });
    try {
      const from = link('z');
      void bus.post(message(address('hyperty://b.example/7'), { id: 1 }), from);
      void bus.post(message(address('hyperty-runtime://b.example/7/p2phandler/1'), { id: 2 }), from);
      void bus.post(message([address('hyperty://b.example/3'), address('hyperty-runtime://b.example/3')], { id: 3 }), from);
      void bus.post(message(address('hyperty://b.example/nobody'), { id: 4 }), from);
    } finally {
      Object.assign(Map.prototype, original);
    }
    t.equal(target.received.length, 4);
    return count;
  };
  const few = lookUps(10);
  t.ok(few > 0 && few < 60, `${String(few)} look-ups`);
  t.equal(lookUps(100_000), few);
});

t.test('errors and responses stand for each other', async (t) => {
  const asked = message(BOB) as Request;
  for (const error of [new ProtoflyError('E_NOT_DIRECT', 'relayed', { hint: 'wait' }), new ProtoflyError('E_TIMEOUT', 'late'), new ProtoflyError('E_NOT_FOUND', 'nobody')]) {
    t.match(responseError(refuse(asked, error)), { code: error.code, message: error.message, hint: error.hint });
  }
  t.match(responseError(respond(asked, 404, { error: 'E_TIMEOUT', desc: 'gone' })), { code: 'E_NOT_FOUND', message: 'gone' }, 'an error that doesn\'t fit its code is not believed');
  t.match(responseError(respond(asked, 403, { error: 'constructor', description: 7, hint: {} })), { code: 'E_REFUSED', hint: undefined });
  t.match(responseError(respond(asked, 418)), { code: 'E_INTERNAL' });
});
