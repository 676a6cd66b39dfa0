import assert from 'node:assert/strict';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  child, isResponse, parseAddress, ProtoflyError, respond,
  type Address, type Body, type DataChange, type DataObserver, type DataReporter, type Invitation, type Message, type Request, type Response,
} from '../../src/protocol/index.js';
import { applyChange, makeObject, type SyncClient } from '../../src/runtime/objects/index.js';
import { turns } from '../support/manual-clock.js';
import { MemoryNode, SyncRuntime } from '../support/sync-net.js';
import { ManualClock } from '../support/manual-clock.js';
import { until } from '../support/until.js';

const SCHEMA = 'hyperty-catalogue://catalogue.x.example/.well-known/dataschema/Connection';

const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => 'done', (error: unknown) => (error instanceof ProtoflyError ? error.code : String(error)));

interface World {
  readonly clock: ManualClock;
  readonly node: MemoryNode;
  readonly a: SyncRuntime;
  readonly b: SyncRuntime;
}

/** Two runtimes and a message node. */
const world = (poolSize = 0): World => {
  const clock = new ManualClock();
  const node = new MemoryNode();
  return { clock, node, a: new SyncRuntime('a', { node, clock }, { poolSize }), b: new SyncRuntime('b', { node, clock }) };
};

/** Closes both managers and checks that nothing is left. */
const finish = async ({ clock, node, a, b }: World): Promise<void> => {
  node.release();
  await Promise.all([a.manager.close(), b.manager.close()]);
  await until('the condition holds', () => node.idle);
  const left = { subscriptions: [...node.subscriptions.keys()], timers: clock.pending, a: a.manager.counters, b: b.manager.counters };
  const none = { reported: 0, observed: 0, observers: 0, pool: 0 };
  assert.deepEqual(left, { subscriptions: [], timers: 0, a: none, b: none });
};

const scenario = (title: string, body: (t: Test, w: World) => Promise<void>, poolSize = 0): void => {
  void t.test(title, async (t) => {
    const w = world(poolSize);
    await body(t, w);
    await finish(w);
  });
};

interface Pair {
  readonly reporter: DataReporter;
  readonly observer: DataObserver;
  readonly changes: DataChange[];
  readonly handler: SyncClient & { readonly owner: Address };
}

const accepting = (client: SyncClient): Promise<DataObserver> =>
  new Promise((resolve, reject) => { client.onInvitation((invitation) => { invitation.accept().then(resolve, reject); }); });

/** Creates an object of a requester at A, observed by a handler at B. */
const pair = async ({ a, b }: World, value: Record<string, unknown> = { name: 'x', iceCandidates: [] }): Promise<Pair> => {
  const requester = a.client('p2prequester/1');
  const handler = b.client('p2phandler/1');
  const accepted = accepting(handler);
  const reporter = await requester.create(SCHEMA, [handler.owner], value);
  const observer = await accepted;
  const changes: DataChange[] = [];
  observer.onChange((change) => { changes.push(change); });
  return { reporter, observer, changes, handler };
};

const candidate = (n: number): { attributeType: 'array'; attribute: string; operation: 'add'; value: unknown[] } =>
  ({ attributeType: 'array', attribute: 'iceCandidates', operation: 'add', value: [{ candidate: `c${String(n)}` }] });

scenario('DAT-1 to DAT-5: an object is made, its observer invited, and changes reach it, in exactly these messages', async (t, w) => {
  const requester = w.a.client('p2prequester/1');
  const handler = w.b.client('p2phandler/1');
  let invitation: Invitation | undefined;
  const answers: unknown[] = [];
  const accepted = new Promise<DataObserver>((resolve, reject) => {
    handler.onInvitation((given) => {
      invitation = given;
      given.accept().then(resolve, reject);
    });
  });
  const reporter = await requester.create(SCHEMA, [handler.owner], { name: 'x', iceCandidates: [] }, (...answer) => answers.push(answer));
  const observer = await accepted;
  t.match(invitation, { url: reporter.url, schema: SCHEMA, source: requester.owner, value: { name: 'x' } });
  await until('the condition holds', () => answers.length > 0);
  t.strictSame(answers, [[handler.owner, 200, undefined]]);

  const changes: DataChange[] = [];
  observer.onChange((change) => changes.push(change));
  reporter.update(candidate(1));
  reporter.update({ attribute: 'status.text', value: 'on' });
  await until('the condition holds', () => changes.length === 2);
  t.strictSame(changes, [{ ...candidate(1), version: 1 }, { attribute: 'status.text', value: 'on', version: 2 }]);
  t.strictSame(observer.data, { name: 'x', iceCandidates: [{ candidate: 'c1' }], status: { text: 'on' } });
  t.strictSame(observer.data, reporter.data);

  let deleted = false;
  observer.onDelete(() => { deleted = true; });
  await reporter.delete();
  await until('the condition holds', () => deleted);
  t.throws(() => { reporter.update(candidate(2)); }, { code: 'E_NOT_FOUND' });
  await reporter.delete();

  const { url } = reporter;
  const [subscription, dotChanges] = [child(url, 'subscription'), child(url, 'changes')];
  const smB = child(w.b.address, 'sm');
  t.match(w.node.trace, [
    { type: 'create', from: subscription, to: handler.owner, body: { source: requester.owner, schema: SCHEMA, value: { url, name: 'x', reporter: requester.owner, version: 0 } } },
    { type: 'response', from: handler.owner, to: subscription, body: { code: 200 } },
    { type: 'subscribe', from: smB, to: subscription, body: { source: handler.owner } },
    { type: 'response', from: subscription, to: smB, body: { code: 200, value: { url, name: 'x', version: 0 } } },
    { type: 'update', from: url, to: dotChanges, body: { attributeType: 'array', attribute: 'iceCandidates', operation: 'add', value: [{ candidate: 'c1' }], version: 1 } },
    { type: 'update', from: url, to: dotChanges, body: { attribute: 'status.text', version: 2 } },
    { type: 'delete', from: url, to: dotChanges },
  ]);
  t.equal(w.node.trace.length, 7, 'and in no others');
});

scenario('DAT-1: an address that is ready makes the invitation go out at once', async (t, w) => {
  w.a.manager.start();
  await until('the pool', () => w.a.manager.counters.pool === 2);
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => { open = resolve; });
  w.a.gate = () => opened;
  const requester = w.a.client('r');
  const handler = w.b.client('h');
  const accepted = accepting(handler);
  const created = await Promise.all([requester.create(SCHEMA, [handler.owner], {}), requester.create(SCHEMA, [], {})]);
  t.equal((await accepted).url, created[0].url);
  t.equal(w.a.manager.counters.pool, 0);
  w.a.gate = () => Promise.reject(new ProtoflyError('E_UNREACHABLE', 'the domain is away'));
  const third = requester.create(SCHEMA, [], {});
  t.equal(await codeOf(third), 'E_UNREACHABLE', 'without one, the domain decides');
  w.a.gate = () => Promise.resolve();
  open();
  await until('the pool to fill up again', () => w.a.manager.counters.pool === 2);
}, 2);

scenario('DAT-3: who isn\'t invited is refused with 403, whatever way it asks', async (t, w) => {
  const { reporter } = await pair(w);
  const stranger = w.b.client('stranger');
  t.equal(await codeOf(stranger.subscribe(SCHEMA, reporter.url)), 'E_REFUSED');
  t.equal(await codeOf(w.a.client('stranger').subscribe(SCHEMA, reporter.url)), 'E_REFUSED', 'nor in the reporter\'s own runtime');
  t.equal(await codeOf(w.b.client('other').subscribe(SCHEMA, parseAddress('connection://x.example/none'))), 'E_NOT_FOUND');
  const c = new SyncRuntime('c', w);
  const ask = async (message: Omit<Request, 'id'>): Promise<number> => (await c.bus.request(message)).body.code;
  const handler = child(w.b.address, 'p2phandler/1');
  const smC = child(c.address, 'sm');
  t.equal(await ask({ type: 'read', from: smC, to: reporter.url }), 403, 'a read');
  t.equal(await ask({ type: 'read', from: smC, to: reporter.url, body: { source: handler } }), 403, 'a read in another one\'s name');
  t.equal(await ask({ type: 'subscribe', from: smC, to: child(reporter.url, 'subscription'), body: { source: handler } }), 403, 'a subscription in another one\'s name');
  t.equal(await ask({ type: 'unsubscribe', from: smC, to: child(reporter.url, 'subscription'), body: { source: handler } }), 404);
  t.equal(await ask({ type: 'create', from: smC, to: child(w.a.address, 'sm'), body: { schema: SCHEMA, value: {} } }), 403, 'objects are made by programs of the runtime only');
  t.equal(await ask({ type: 'delete', from: smC, to: child(w.a.address, 'sm'), body: { resource: reporter.url } }), 403);
  t.equal(w.b.manager.counters.observers, 1, 'who is invited stays');
  const hyperty = parseAddress('hyperty://x.example/invited');
  w.b.program(hyperty);
  const shared = await w.a.client('r').create(SCHEMA, [hyperty], { name: 'x' });
  for (const type of ['read', 'subscribe'] as const) {
    const to = type === 'read' ? shared.url : child(shared.url, 'subscription');
    t.equal(await ask({ type, from: smC, to, body: { source: hyperty } }), 403, `${type} in the name of a hyperty elsewhere`);
    t.equal((await w.b.bus.request({ type, from: child(w.b.address, 'sm'), to, body: { source: hyperty } })).body.code, 200, `${type} by its runtime`);
    t.equal((await w.b.bus.request({ type, from: hyperty, to })).body.code, 200, `${type} by itself`);
  }
  await c.manager.close();
});

scenario('another program of the runtime can\'t change or delete what isn\'t its own', async (t, w) => {
  const { reporter, observer } = await pair(w);
  const stranger = child(w.a.address, 'stranger');
  const { bus } = w.a.program(stranger);
  const codes: number[] = [];
  const answer = (response: Response): void => { codes.push(response.body.code); };
  void bus.postMessage({ type: 'update', from: stranger, to: child(w.a.address, 'sm'), body: { resource: reporter.url, attribute: 'name', value: 'mine' } }, answer);
  void bus.postMessage({ type: 'delete', from: stranger, to: child(w.a.address, 'sm'), body: { resource: reporter.url } }, answer);
  void bus.postMessage({ type: 'update', from: reporter.url, to: child(reporter.url, 'changes'), body: { attribute: 'name', value: 'mine' } });
  await until('the condition holds', () => codes.length === 2);
  t.strictSame(codes, [403, 403]);
  reporter.update(candidate(1));
  await until('the condition holds', () => (observer.data['iceCandidates'] as unknown[]).length === 1);
  t.equal(observer.data['name'], 'x');
});

scenario('DAT-4: a change that is lost is noticed by the next one\'s version, and the object is read anew', async (t, w) => {
  const { reporter, observer, changes } = await pair(w);
  w.node.fate = ({ body }) => (body?.['version'] === 1 ? 'drop' : 'pass');
  for (const n of [1, 2, 3]) reporter.update(candidate(n));
  await until('the condition holds', () => (observer.data['iceCandidates'] as unknown[]).length === 3);
  t.strictSame(observer.data, reporter.data);
  t.equal(w.node.trace.filter(({ type }) => type === 'read').length, 1, 'once');
  t.strictSame(changes.flatMap(({ value }) => value), [1, 2, 3].map((n) => ({ candidate: `c${String(n)}` })), 'listeners hear of each candidate once, and in order');
});

scenario('DAT-4: changes that are repeated or overtake each other leave the copies equal', async (t, w) => {
  const { reporter, observer, changes } = await pair(w);
  let replica = makeObject(observer.data);
  observer.onChange((change) => { replica = applyChange(replica, change); });
  w.node.fate = ({ body }) => (body?.['version'] === 2 ? 'hold' : 'twice');
  for (const n of [1, 2, 3, 4]) reporter.update(candidate(n));
  await until('the condition holds', () => (observer.data['iceCandidates'] as unknown[]).length === 4);
  w.node.release();
  await until('the condition holds', () => w.node.idle);
  t.strictSame(observer.data, reporter.data);
  t.strictSame(replica.data, reporter.data, 'also for who follows by changes alone');
  t.ok(changes.every(({ version }, index) => version >= (changes[index - 1]?.version ?? 0)), 'versions never go back');
});

t.test('DAT-3: no change falls between the answer to a subscription and the first change', async (t) => {
  for (const order of ['answer first', 'changes first'] as const) {
    const w = world();
    const requester = w.a.client('r');
    const handler = w.b.client('h');
    const isAnswer = (message: Message): boolean => isResponse(message) && message.body.value !== undefined;
    w.node.fate = (message) => (isAnswer(message) || message.type === 'update' ? 'hold' : 'pass');
    const accepted = accepting(handler);
    const reporter = await requester.create(SCHEMA, [handler.owner], { iceCandidates: [] });
    await until('the answer', () => w.node.held.length === 1);
    for (const n of [1, 2]) reporter.update(candidate(n));
    await until('the changes', () => w.node.held.length === 3);
    w.node.fate = () => 'pass';
    if (order === 'changes first') w.node.held.push(w.node.held.shift()!);
    w.node.release();
    const observer = await accepted;
    await until(order, () => (observer.data['iceCandidates'] as unknown[]).length === 2);
    t.strictSame(observer.data, reporter.data, order);
    t.notOk(w.node.trace.some(({ type }) => type === 'read'), 'and nothing had to be read anew');
    await finish(w);
  }
});

scenario('DAT-3: nobody is asked for an object before its changes would come here', async (t, w) => {
  const handler = w.b.client('h');
  const accepted = accepting(handler);
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => { open = resolve; });
  w.b.gate = () => opened;
  await w.a.client('r').create(SCHEMA, [handler.owner], {});
  await until('the condition holds', () => w.node.trace.some(isResponse) && w.node.idle);
  t.notOk(w.node.trace.some(({ type }) => type === 'subscribe'));
  open();
  await accepted;
  w.b.gate = () => Promise.reject(new ProtoflyError('E_UNREACHABLE', 'the domain is away'));
  t.equal(await codeOf(handler.subscribe(SCHEMA, parseAddress('connection://x.example/other'))), 'E_UNREACHABLE');
  w.b.gate = () => Promise.resolve();
});

scenario('DAT-5: an object that ends while its observer subscribes is not found', async (t, w) => {
  const handler = w.b.client('h');
  const accepted = codeOf(accepting(handler));
  w.node.fate = (message) => (isResponse(message) && message.body.value !== undefined ? 'hold' : 'pass');
  const reporter = await w.a.client('r').create(SCHEMA, [handler.owner], {});
  await until('the condition holds', () => w.node.held.length === 1);
  await reporter.delete();
  await until('the condition holds', () => w.node.trace.some(({ type }) => type === 'delete') && w.node.idle);
  w.node.release();
  t.equal(await accepted, 'E_NOT_FOUND');
});

scenario('an observer that unsubscribes hears no more and leaves nothing behind', async (t, w) => {
  const { reporter, observer, changes, handler } = await pair(w);
  const again = await handler.subscribe(SCHEMA, reporter.url);
  observer.unsubscribe();
  reporter.update(candidate(1));
  await until('the condition holds', () => (again.data['iceCandidates'] as unknown[]).length === 1);
  t.strictSame(changes, [], 'one handle is gone, the other one stays');
  again.unsubscribe();
  again.unsubscribe();
  await until('the condition holds', () => w.a.manager.counters.observers === 0 && w.b.manager.counters.observed === 0);
  t.notOk(w.node.subscriptions.has(child(reporter.url, 'changes')));
  const sent = w.node.trace.length;
  reporter.update(candidate(2));
  await until('the condition holds', () => w.node.idle);
  t.equal(w.node.trace.length, sent, 'what nobody observes isn\'t published');
  const third = await handler.subscribe(SCHEMA, reporter.url);
  t.equal((third.data['iceCandidates'] as unknown[]).length, 2, 'it may come back');
});

scenario('reporter and observers in one runtime need no message node, and several observers are served by one message', async (t, w) => {
  const here = w.a.client('here');
  const there = [w.b.client('one'), w.b.client('two')] as const;
  const accepted = [here, ...there].map(accepting);
  const reporter = await w.a.client('r').create(SCHEMA, [here, ...there].map(({ owner }) => owner), { n: 0 });
  const observers = await Promise.all(accepted);
  const before = w.node.trace.length;
  reporter.update({ attribute: 'n', value: 1 });
  t.equal(observers[0]?.data['n'], 1, 'at once');
  await until('the condition holds', () => observers.every(({ data }) => data['n'] === 1));
  t.equal(w.node.trace.length, before + 1);
  let deleted = 0;
  for (const observer of observers) observer.onDelete(() => { deleted += 1; });
  await w.a.manager.release(child(w.a.address, 'r'));
  await until('the end of what a program reported that is gone', () => deleted === 3);
});

scenario('a program that is gone no longer observes', async (t, w) => {
  const { reporter, handler } = await pair(w);
  await w.b.manager.release(handler.owner);
  await w.b.manager.release(handler.owner);
  await until('the condition holds', () => w.a.manager.counters.observers === 0);
  t.equal(w.b.manager.counters.observed, 0);
  reporter.update(candidate(1));
  const here = w.a.client('here');
  const accepted = accepting(here);
  await w.a.client('r').create(SCHEMA, [here.owner], {});
  await accepted;
  t.equal(w.a.manager.counters.observers, 1);
  await w.a.manager.release(here.owner);
  t.equal(w.a.manager.counters.observers, 0, 'nor where the reporter lives');
});

scenario('a runtime that vanishes: the invitation is answered 408, an observation ends when it can\'t be repaired', async (t, w) => {
  const { reporter, observer } = await pair(w);
  const answers: number[] = [];
  w.node.fate = ({ type }) => (type === 'create' ? 'drop' : 'pass');
  await w.a.client('q').create(SCHEMA, [child(w.b.address, 'p2phandler/1')], {}, (_who, code) => answers.push(code));
  await until('the condition holds', () => w.node.idle);
  w.clock.advance(15_000);
  await until('the condition holds', () => answers.length === 1);
  t.strictSame(answers, [408]);

  let ended = false;
  observer.onDelete(() => { ended = true; });
  w.node.fate = ({ body }) => (body?.['version'] === 1 ? 'drop' : 'pass');
  reporter.update(candidate(1));
  reporter.update(candidate(2));
  w.node.fate = ({ type }) => (type === 'read' ? 'drop' : 'pass');
  await until('the condition holds', () => w.node.trace.some(({ type }) => type === 'read'));
  w.a.vanish();
  for (let tries = 0; tries < 25 && !ended; tries += 1) {
    await until('the condition holds', () => w.node.idle);
    w.clock.advance(10_000);
  }
  await until('the condition holds', () => ended);
  await until('the condition holds', () => w.b.manager.counters.observed === 0);
});

scenario('a session that started over gets its subscriptions back, and what was missed is read', async (t, w) => {
  const { reporter, observer } = await pair(w);
  w.a.manager.start();
  await until('the condition holds', () => w.a.manager.counters.pool === 1);
  w.node.subscriptions.clear();
  reporter.update(candidate(1));
  await Promise.all([w.a.manager.resubscribe('x.example'), w.b.manager.resubscribe('x.example'), w.b.manager.resubscribe('other.example')]);
  await until('the condition holds', () => {
    if (w.node.idle) w.clock.advance(50);
    return (observer.data['iceCandidates'] as unknown[]).length === 1;
  });
  reporter.update(candidate(2));
  await until('the condition holds', () => (observer.data['iceCandidates'] as unknown[]).length === 2);
  await until('the condition holds', () => w.a.manager.counters.pool === 1);
  t.equal(w.node.allocations, 3, 'the address that was ready is replaced: the node has forgotten it');
}, 1);

scenario('plain reTHINK programs: updates without version, answers without value, invitations answered late', async (t, w) => {
  const plain = new SyncRuntime('plain', w);
  await plain.manager.close();
  const url = parseAddress('connection://x.example/plain');
  const reporter = child(plain.address, 'hyperty');
  const received: Request[] = [];
  const answer = (address: Address, body: (request: Request) => (Body & { code: number }) | undefined): void => {
    plain.bus.addListener(address, (message) => {
      if (isResponse(message)) return undefined;
      received.push(message);
      const made = body(message);
      return made === undefined ? undefined : plain.bus.post(respond(message, made.code, made));
    });
  };
  answer(child(url, 'subscription'), () => ({ code: 200 }));
  answer(url, () => ({ code: 200, value: { url, status: 'on', list: [1] } }));
  await plain.routes.subscribe([url, child(url, 'subscription')]);

  const handler = w.b.client('h');
  const accepted = accepting(handler);
  void plain.bus.post({ id: 1, type: 'create', from: child(url, 'subscription'), to: handler.owner, body: { source: reporter, schema: SCHEMA, value: { status: 'on' } } });
  const observer = await accepted;
  t.strictSame(observer.data, { status: 'on', list: [1] }, 'the object was read');
  const changes: DataChange[] = [];
  observer.onChange((change) => changes.push(change));
  const publish = (body: Body): void => { void plain.routes.publish({ id: 2, type: 'update', from: url, to: child(url, 'changes'), body }); };
  publish({ attribute: 'status', value: 'off' });
  publish({ attribute: 'list', operation: 'add', value: [2] });
  await until('the condition holds', () => changes.length === 2);
  t.strictSame(observer.data, { status: 'off', list: [1, 2] });
  t.strictSame(changes.map(({ version }) => version), [1, 2]);
  publish({ attribute: 'list', attributeType: null, operation: 'remove', value: [1] });
  await until('the condition holds', () => changes.length === 3);
  t.strictSame(observer.data, { status: 'off', list: [2] });

  // An observer without a sync manager, which answers late.
  const invited: Request[] = [];
  plain.bus.addListener(reporter, (message) => { if (!isResponse(message) && message.type === 'create') invited.push(message); });
  const answers: number[] = [];
  const report = await w.a.client('r').create(SCHEMA, [reporter], { n: 1 }, (_who, code) => answers.push(code));
  await until('the condition holds', () => invited.length === 1);
  w.clock.advance(16_000);
  await until('the condition holds', () => answers.length === 1);
  void plain.bus.post(respond(invited[0]!, 200));
  await until('the condition holds', () => answers.length === 2);
  t.strictSame(answers, [408, 200]);
  const heard: Message[] = [];
  plain.bus.addListener(child(report.url, 'changes'), (message) => { heard.push(message); });
  await plain.routes.subscribe([child(report.url, 'changes')]);
  const response = await plain.bus.request({ type: 'subscribe', from: reporter, to: child(report.url, 'subscription'), body: {} });
  t.match(response, { body: { code: 200, value: { n: 1 } } });
  report.update({ attribute: 'n', value: 2 });
  await until('the condition holds', () => heard.length === 1);
  t.match(heard, [{ from: report.url, body: { attribute: 'n', value: 2 } }]);
  await plain.routes.unsubscribe([url, child(url, 'subscription'), child(report.url, 'changes')]);
});

scenario('a reporter may speak as its object, as on the wire', async (t, w) => {
  const owner = child(w.a.address, 'plain');
  const { bus } = w.a.program(owner);
  const handler = w.b.client('h');
  const accepted = accepting(handler);
  let url: Address | undefined;
  void bus.postMessage({ type: 'create', from: owner, to: child(w.a.address, 'sm'), body: { schema: SCHEMA, authorise: [handler.owner], value: { n: 1 } } }, ({ body }) => {
    t.equal(body.code, 200);
    url = body.resource as Address;
  });
  const observer = await accepted;
  t.equal(observer.url, url);
  let ended = false;
  observer.onDelete(() => { ended = true; });
  void bus.postMessage({ type: 'update', from: observer.url, to: child(observer.url, 'changes'), body: { attribute: 'n', value: 2 } });
  await until('the condition holds', () => observer.data['n'] === 2);
  void bus.postMessage({ type: 'delete', from: observer.url, to: child(observer.url, 'changes') });
  await until('the condition holds', () => ended);
});

scenario('hostile messages change nothing and end nothing', async (t, w) => {
  const { reporter, observer, changes } = await pair(w);
  const { url } = reporter;
  const evil = parseAddress('hyperty://evil.example/1');
  const dotChanges = child(url, 'changes');
  let id = 0;
  const send = (runtime: SyncRuntime, message: Omit<Request, 'id'>): void => { void runtime.bus.post({ ...message, id: `evil-${String(id++)}` }, runtime.origin); };
  const change = { attribute: 'name', value: 'evil', version: 1 };
  send(w.b, { type: 'update', from: evil, to: dotChanges, body: change });
  send(w.b, { type: 'delete', from: evil, to: dotChanges });
  send(w.a, { type: 'update', from: url, to: dotChanges, body: change });
  send(w.a, { type: 'delete', from: url, to: dotChanges });
  send(w.a, { type: 'update', from: evil, to: dotChanges, body: change });
  send(w.b, { type: 'update', from: parseAddress('connection://x.example/unknown'), to: parseAddress('connection://x.example/unknown/changes'), body: change });
  const bodies: (Body | undefined)[] = [
    undefined, {}, { attribute: 7 }, { attribute: '__proto__.x', value: 1, version: 1 }, { attribute: 'a'.repeat(9999), value: 1, version: 1 },
    { attribute: 'name', version: 1 }, { attribute: 'name', value: 1, version: 'one' }, { attribute: 'name', value: 1, version: -1 }, { attribute: 'iceCandidates.99', value: 1 },
    { attribute: 'name', value: 'old', version: 0 }, { attribute: 'name', value: 'far', version: Number.MAX_SAFE_INTEGER },
  ];
  for (const type of ['update', 'create', 'execute', 'delete', 'subscribe', 'read'] as const) {
    for (const body of bodies) {
      const base = body === undefined ? {} : { body };
      if (type !== 'delete') send(w.b, { type, from: url, to: dotChanges, ...base });
      for (const to of [url, dotChanges, child(url, 'subscription'), child(url, 'children/x'), child(w.a.address, 'sm')]) send(w.a, { type, from: evil, to, ...base });
    }
  }
  await until('the condition holds', () => w.node.idle);
  for (let round = 0; round < 5; round += 1) {
    w.clock.advance(100);
    await until('the condition holds', () => w.node.idle);
  }
  t.strictSame(observer.data, { name: 'x', iceCandidates: [] });
  t.strictSame(changes, []);
  reporter.update(candidate(1));
  await until('the condition holds', () => changes.length === 1);
  t.strictSame(observer.data, reporter.data, 'and the true reporter is still heard');
  t.ok(w.node.trace.filter(({ type }) => type === 'read').length < 20, 'without being asked over and over');
});

scenario('DAT-2: a thousand observers are invited at once, in the name of the object', async (t, w) => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => { warnings.push(warning); };
  process.on('warning', warned);
  const invited = Array.from({ length: 1000 }, (_, n) => parseAddress(`hyperty://x.example/${String(n)}`));
  const answers = new Map<Address, number>();
  await w.a.client('r').create(SCHEMA, invited, {}, (who, code) => answers.set(who, code));
  await until('the condition holds', () => answers.size === 1000);
  t.strictSame(new Set(answers.values()), new Set([404]), 'nobody is there');
  process.off('warning', warned);
  t.strictSame(warnings, []);
});

scenario('requests of a program that make no sense are answered with a code', async (t, w) => {
  const owner = child(w.a.address, 'odd');
  const { bus } = w.a.program(owner);
  const ask = (type: Request['type'], body?: Body): Promise<number> => new Promise((resolve) => {
    void bus.postMessage({ type, from: owner, to: child(w.a.address, 'sm'), ...(body === undefined ? {} : { body }) }, (response) => { resolve(response.body.code); });
  });
  t.equal(await ask('create'), 400);
  t.equal(await ask('create', { schema: SCHEMA, value: 'text' }), 400);
  t.equal(await ask('create', { schema: SCHEMA, value: {}, authorise: ['not an address'] }), 400);
  t.equal(await ask('create', { schema: SCHEMA, value: {}, authorise: Array(1001).fill(owner) }), 400);
  t.equal(await ask('create', { schema: SCHEMA, value: { x: 'x'.repeat(1024 * 1024) } }), 413);
  t.equal(await ask('update', { attribute: 'a', value: 1 }), 400);
  t.equal(await ask('update', { resource: 'connection://x.example/none', attribute: 'a', value: 1 }), 404);
  t.equal(await ask('delete', { resource: 'connection://x.example/none' }), 404);
  t.equal(await ask('subscribe', { resource: 'connection://x.example/none' }), 400, 'no schema');
  t.equal(await ask('unsubscribe', { resource: 'connection://x.example/none' }), 200);
  t.equal(await ask('execute'), 400);
  const c = new SyncRuntime('c', w, { maxPerClient: 2 });
  const client = c.client('busy');
  const made = await Promise.all([1, 2, 3].map((n) => codeOf(client.create(SCHEMA, [], { n }))));
  t.strictSame(made, ['done', 'done', 'E_TOO_MANY']);
  await c.manager.close();
});

t.test('closing waits for a domain that takes nothing, but only for as long as it is told to', async (t) => {
  for (const [patienceMs, waitsMs] of [[undefined, 2000], [500, 500], [0, 0]] as const) {
    const { clock, a } = world(2);
    a.manager.start();
    await until('the condition holds', () => a.manager.counters.pool === 2);
    a.gate = () => new Promise(() => undefined);
    let closed = false;
    const closing = a.manager.close(patienceMs).then(() => { closed = true; });
    if (waitsMs > 0) clock.advance(waitsMs - 1);
    await turns();
    t.equal(closed, false);
    clock.advance(waitsMs === 0 ? 0 : 1);
    await closing;
  }
});

t.test('whatever is lost, repeated or overtaken, the copies are equal once a change gets through', async (t) => {
  const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`FC_SEED=${String(seed)}`);
  const change = fc.oneof(
    fc.record({ attribute: fc.constantFrom('a', 'b', 'o.x', 'o.y.z'), value: fc.oneof(fc.integer(), fc.string(), fc.constant({ q: [1] })) }),
    fc.record({ attribute: fc.constantFrom('list', 'o.list'), attributeType: fc.constant('array' as const), operation: fc.constantFrom('add' as const, 'remove' as const), value: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }) }),
  );
  const fates = fc.array(fc.constantFrom('pass' as const, 'pass' as const, 'drop' as const, 'hold' as const, 'twice' as const), { minLength: 40, maxLength: 40 });
  await fc.assert(fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 25 }), fates, fc.array(fc.boolean(), { minLength: 25, maxLength: 25 }), async (changes, fateList, pauses) => {
    const w = world();
    const { reporter, observer } = await pair(w, { list: [], o: { list: [] } });
    let replica = makeObject(observer.data);
    observer.onChange((one) => { replica = applyChange(replica, one); });
    let sent = 0;
    w.node.fate = ({ type }) => (type === 'update' ? fateList[sent++ % fateList.length] ?? 'pass' : 'pass');
    for (const [index, one] of changes.entries()) {
      try {
        reporter.update(one);
      } catch (error) {
        if (!(error instanceof ProtoflyError)) throw error;
      }
      if (pauses[index] === true) await until('the condition holds', () => w.node.idle);
      if (index % 7 === 6) w.node.release();
    }
    w.node.fate = () => 'pass';
    reporter.update({ attribute: 'last', value: 1 });
    for (let round = 0; round < 8; round += 1) {
      await until('the condition holds', () => w.node.idle);
      w.clock.advance(60);
    }
    w.node.release();
    await until('the condition holds', () => observer.data['last'] === 1);
    await until('the condition holds', () => w.node.idle);
    for (const data of [observer.data, replica.data]) {
      if (JSON.stringify(sorted(data)) !== JSON.stringify(sorted(reporter.data))) throw new Error(`they differ: ${JSON.stringify(data)} ${JSON.stringify(reporter.data)}`);
    }
    await finish(w);
  }), { seed, numRuns: 60 });
});

const sorted = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, item]) => [key, sorted(item)]));
};
