import t from 'tap';
import {
  child, isResponse, parseAddress, ProtoflyError, respond,
  type Address, type Body, type Invitation, type Message, type Request, type Response,
} from '../../src/protocol/index.js';
import { SyncClient, type SyncBus, type SyncClientInit } from '../../src/runtime/objects/index.js';
import { MemoryNode, SyncRuntime } from '../support/sync-net.js';
import { ManualClock } from '../support/manual-clock.js';
import { until } from '../support/until.js';

const SCHEMA = 'hyperty-catalogue://catalogue.x.example/.well-known/dataschema/Connection';
const RUNTIME = parseAddress('hyperty-runtime://x.example/r');
const MANAGER = child(RUNTIME, 'sm');
const OWNER = child(RUNTIME, 'protostub/1');
const URL_1 = parseAddress('connection://y.example/1');

const outcome = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => 'done', (error: unknown) => (error instanceof ProtoflyError ? error.code : String(error)));

/** A client; the test plays its runtime. */
class Stage {
  readonly clock = new ManualClock();
  readonly sent: Message[] = [];
  readonly logged: string[] = [];
  readonly client: SyncClient;
  broken = false;
  readonly #waiting = new Map<unknown, (response: Response) => void>();
  readonly #listeners: ((message: Message) => void | Promise<void>)[] = [];
  #nextId = 1;

  constructor(init: Partial<SyncClientInit> = {}) {
    const bus: SyncBus = {
      postMessage: (message, onResponse) => {
        if (this.broken) throw new ProtoflyError('E_LINK_CLOSED', 'the pipe is gone');
        const complete = (message.id === undefined ? { ...message, id: this.#nextId++ } : message) as Message;
        if (onResponse !== undefined) this.#waiting.set(complete.id, onResponse);
        this.sent.push(complete);
      },
      addListener: (address, listener) => { if (address === OWNER) this.#listeners.push(listener); },
    };
    this.client = new SyncClient({ bus, clock: this.clock }, { owner: OWNER, runtime: RUNTIME, log: (_level, text) => this.logged.push(text), ...init });
  }

  requests(type: Request['type']): Request[] {
    return this.sent.filter((message): message is Request => message.type === type);
  }

  get responses(): Response[] {
    return this.sent.filter(isResponse);
  }

  answer(request: Request | undefined, code: number, body: Body = {}): void {
    if (request === undefined) throw new Error('there is no such request');
    this.#waiting.get(request.id)?.(respond(request, code, body));
  }

  deliver(type: Request['type'], from: Address, body?: Body, id: number | string = 'in'): void {
    for (const listener of this.#listeners) void listener({ id, type, from, to: OWNER, ...(body === undefined ? {} : { body }) });
  }

  invite(n: number): void {
    this.deliver('create', parseAddress(`connection://y.example/${String(n)}/subscription`), { source: 'hyperty://y.example/1', schema: SCHEMA, value: { n } }, n);
  }
}

t.test('a manager that answers too late: the caller gets E_TIMEOUT and the object is taken back', async (t) => {
  const stage = new Stage({ timeoutMs: 100 });
  const created = outcome(stage.client.create(SCHEMA, [], {}));
  const subscribed = outcome(stage.client.subscribe(SCHEMA, URL_1));
  stage.clock.advance(100);
  t.strictSame([await created, await subscribed], ['E_TIMEOUT', 'E_TIMEOUT']);
  t.match(stage.requests('unsubscribe'), [{ to: MANAGER, body: { resource: URL_1 } }], 'what may still be subscribed is left');
  stage.answer(stage.requests('create')[0], 200, { resource: URL_1 });
  t.match(stage.requests('delete'), [{ to: MANAGER, body: { resource: URL_1 } }], 'what was made after all is deleted');
  stage.answer(stage.requests('subscribe')[0], 200, { resource: URL_1, value: {} });
  t.equal(stage.clock.pending, 0);
});

t.test('what the manager refuses is an error with its code, and an answer that makes no sense is one too', async (t) => {
  const stage = new Stage();
  const results = [403, 404, 429, 503].map((code) => {
    const result = outcome(stage.client.subscribe(SCHEMA, URL_1));
    stage.answer(stage.requests('subscribe').at(-1), code);
    return result;
  });
  t.strictSame(await Promise.all(results), ['E_REFUSED', 'E_NOT_FOUND', 'E_TOO_MANY', 'E_UNREACHABLE']);
  const odd = outcome(stage.client.subscribe(SCHEMA, URL_1));
  stage.answer(stage.requests('subscribe').at(-1), 183);
  stage.answer(stage.requests('subscribe').at(-1), 200, { value: 'text' });
  t.equal(await odd, 'E_MESSAGE');
  const nameless = outcome(stage.client.create(SCHEMA, [], {}));
  stage.answer(stage.requests('create').at(-1), 200);
  t.equal(await nameless, 'E_MESSAGE');
  t.equal(await outcome(stage.client.create(SCHEMA, [], { when: new Date() })), 'E_MESSAGE');
  stage.broken = true;
  t.equal(await outcome(stage.client.create(SCHEMA, [], {})), 'E_LINK_CLOSED');
  t.equal(stage.clock.pending, 0);
});

t.test('changes that come right behind the answer are in the data, and listeners that throw harm nobody', async (t) => {
  const stage = new Stage();
  const subscribed = stage.client.subscribe(SCHEMA, URL_1);
  stage.answer(stage.requests('subscribe')[0], 200, { resource: URL_1, value: { n: 0, version: 4 } });
  stage.deliver('update', MANAGER, { resource: URL_1, attribute: 'n', value: 1, version: 5 });
  const observer = await subscribed;
  t.strictSame(observer.data, { n: 1 });
  const heard: unknown[] = [];
  observer.onChange(() => { throw new Error('mine'); });
  observer.onChange((change) => heard.push(change));
  stage.deliver('update', MANAGER, { resource: URL_1, attribute: 'n', value: 2, version: 6 });
  stage.deliver('update', child(URL_1, 'changes'), { resource: URL_1, attribute: 'n', value: 666, version: 7 });
  stage.deliver('update', MANAGER, { resource: URL_1, attribute: 7, version: 7 });
  stage.deliver('update', MANAGER);
  stage.deliver('execute', MANAGER, { resource: URL_1 });
  t.strictSame(heard, [{ attribute: 'n', value: 2, version: 6 }]);
  t.strictSame(observer.data, { n: 2 });
  t.match(stage.logged[0], /mine/);
  let ended = 0;
  observer.onDelete(() => { ended += 1; });
  stage.deliver('delete', MANAGER, { resource: URL_1 });
  stage.deliver('delete', MANAGER, { resource: URL_1 });
  await new Promise<void>((resolve) => { observer.onDelete(resolve); });
  t.equal(ended, 1, 'once; and who asks later is told too');
  observer.unsubscribe();
  t.equal(stage.requests('unsubscribe').length, 0);
});

t.test('a handle that is given up while another subscription is under way doesn\'t end that one', async (t) => {
  const stage = new Stage();
  const first = stage.client.subscribe(SCHEMA, URL_1);
  stage.answer(stage.requests('subscribe')[0], 200, { value: {} });
  const observer = await first;
  const second = stage.client.subscribe(SCHEMA, URL_1);
  observer.unsubscribe();
  t.equal(stage.requests('unsubscribe').length, 0);
  stage.answer(stage.requests('subscribe')[1], 200, { value: { n: 1 } });
  t.strictSame((await second).data, { n: 1 });
  const third = outcome(stage.client.subscribe(SCHEMA, URL_1));
  (await second).unsubscribe();
  t.equal(stage.requests('unsubscribe').length, 0);
  stage.answer(stage.requests('subscribe')[2], 503);
  t.equal(await third, 'E_UNREACHABLE');
  t.equal(stage.requests('unsubscribe').length, 1, 'when it fails the manager is told');
});

t.test('a change that the manager refuses ends the object: its copies would differ', async (t) => {
  const stage = new Stage();
  const created = stage.client.create(SCHEMA, [], { n: 0 });
  stage.answer(stage.requests('create')[0], 200, { resource: URL_1 });
  const reporter = await created;
  t.throws(() => { reporter.update({ attribute: 'version', value: 9 }); }, { code: 'E_MESSAGE' }, 'the manager\'s own attributes');
  t.throws(() => { reporter.update({ attribute: '', value: { url: 'x' } }); }, { code: 'E_MESSAGE' });
  t.throws(() => { reporter.update({ attribute: 'n.x', value: 9 }); }, { code: 'E_MESSAGE' }, 'a change that doesn\'t fit');
  t.equal(stage.requests('update').length, 0, 'isn\'t sent');
  reporter.update({ attribute: 'n', value: 1 });
  reporter.update({ attribute: 'n', value: 2 });
  t.match(stage.requests('update'), [{ from: OWNER, to: MANAGER, body: { resource: URL_1, attribute: 'n', value: 1 } }, { body: { value: 2 } }]);
  stage.answer(stage.requests('update')[0], 200);
  reporter.update({ attribute: 'n', value: 3 });
  stage.answer(stage.requests('update')[1], 400);
  t.throws(() => { reporter.update({ attribute: 'n', value: 4 }); }, { code: 'E_NOT_FOUND' });
  t.equal(stage.requests('delete').length, 1);
  await reporter.delete();
});

t.test('an invitation is answered exactly once: by its receiver, or with 408 after ten seconds', async (t) => {
  const stage = new Stage();
  stage.invite(1);
  t.match(stage.responses, [{ id: 1, from: OWNER, to: 'connection://y.example/1/subscription', body: { code: 408 } }], 'at once while nobody listens');
  const invitations: Invitation[] = [];
  stage.client.onInvitation((invitation) => invitations.push(invitation));
  for (const n of [2, 3, 4, 5]) stage.invite(n);
  t.match(invitations[0], { url: 'connection://y.example/2', source: 'hyperty://y.example/1', schema: SCHEMA, value: { n: 2 } });
  const [accepted, refused, odd, ignored] = invitations as [Invitation, Invitation, Invitation, Invitation];
  const observing = accepted.accept();
  refused.refuse(486, 'busy');
  refused.refuse(403, 'again');
  odd.refuse(200, 'not a refusal');
  t.match(stage.responses.slice(1), [{ id: 2, body: { code: 200 } }, { id: 3, body: { code: 486, description: 'busy' } }, { id: 4, body: { code: 403 } }]);
  t.match(stage.requests('subscribe'), [{ to: MANAGER, body: { resource: accepted.url, schema: SCHEMA } }], 'accepting is subscribing');
  stage.answer(stage.requests('subscribe')[0], 200, { value: { n: 2 } });
  t.equal((await observing).url, accepted.url);
  stage.clock.advance(9_999);
  t.equal(stage.responses.length, 4);
  stage.clock.advance(1);
  t.match(stage.responses.slice(4), [{ id: 5, body: { code: 408 } }]);
  for (const invitation of [accepted, refused, ignored]) t.equal(await outcome(invitation.accept()), 'E_CONFLICT');
  t.equal(stage.responses.length, 5);
  t.equal(stage.clock.pending, 0);
});

t.test('invitations that make no sense are answered 400, and ten thousand of them are bounded', async (t) => {
  const stage = new Stage();
  const invitations: Invitation[] = [];
  stage.client.onInvitation((invitation) => invitations.push(invitation));
  const good = { source: 'hyperty://y.example/1', schema: SCHEMA, value: {} };
  const from = child(URL_1, 'subscription');
  for (const body of [undefined, {}, { ...good, source: 7 }, { ...good, schema: '' }, { ...good, value: 'x' }, { ...good, value: null }, { ...good, value: { version: 'x' } }]) stage.deliver('create', from, body);
  t.strictSame(stage.responses.map(({ body }) => body.code), Array(7).fill(400));
  t.strictSame(invitations, []);
  for (let n = 0; n < 10_000; n += 1) stage.invite(n);
  t.equal(invitations.length, 100);
  t.equal(stage.clock.pending, 100);
  t.equal(stage.responses.filter(({ body }) => body.code === 429).length, 9_900);
  for (const invitation of invitations) invitation.refuse(486, 'busy');
  stage.invite(1);
  t.equal(invitations.length, 101, 'there is room again');
  stage.client.onInvitation(() => { throw new Error('mine'); });
  stage.invite(2);
  t.equal(stage.responses.at(-1)?.body.code, 500);
  stage.deliver('create', OWNER, good);
  stage.deliver('update', from, good);
  t.equal(stage.responses.at(-1)?.body.code, 500, 'what isn\'t an invitation is left to others');
});

t.test('close ends what is open: requests, invitations, objects, observations', async (t) => {
  const stage = new Stage();
  const created = stage.client.create(SCHEMA, [], {});
  stage.answer(stage.requests('create')[0], 200, { resource: URL_1 });
  await created;
  const subscribed = stage.client.subscribe(SCHEMA, parseAddress('connection://y.example/2'));
  stage.answer(stage.requests('subscribe')[0], 200, { value: {} });
  const observer = await subscribed;
  observer.onDelete(() => t.fail('nothing was deleted'));
  const open = [outcome(stage.client.create(SCHEMA, [], {})), outcome(stage.client.subscribe(SCHEMA, URL_1))];
  stage.client.onInvitation(() => undefined);
  stage.invite(3);
  const closing = stage.client.close();
  t.equal(stage.client.close(), closing);
  t.strictSame(await Promise.all(open), ['E_ABORTED', 'E_ABORTED']);
  t.match(stage.responses, [{ id: 3, body: { code: 408 } }]);
  t.match(stage.requests('unsubscribe')[0], { body: { resource: 'connection://y.example/2' } });
  t.match(stage.requests('delete'), [{ body: { resource: URL_1 } }]);
  stage.answer(stage.requests('delete')[0], 404);
  await closing;
  observer.unsubscribe();
  stage.answer(stage.requests('create')[1], 200, { resource: 'connection://x.example/late' });
  t.match(stage.requests('delete')[1], { body: { resource: 'connection://x.example/late' } }, 'what was made meanwhile is deleted');
  t.equal(await outcome(stage.client.create(SCHEMA, [], {})), 'E_ABORTED');
  stage.invite(4);
  t.match(stage.responses.at(-1), { id: 4, body: { code: 408 } });
  t.equal(stage.clock.pending, 0);
});

t.test('closing a client leaves nothing at its manager', async (t) => {
  const clock = new ManualClock();
  const node = new MemoryNode();
  const [a, b] = [new SyncRuntime('a', { node, clock }), new SyncRuntime('b', { node, clock })];
  const [one, other] = [a.client('one'), b.client('other')];
  const accepted = new Promise<unknown>((resolve, reject) => { other.onInvitation((invitation) => { invitation.accept().then(resolve, reject); }); });
  await one.create(SCHEMA, [other.owner], {});
  await accepted;
  await other.close();
  await until('the condition holds', () => a.manager.counters.observers === 0 && b.manager.counters.observed === 0);
  await one.close();
  await until('the condition holds', () => a.manager.counters.reported === 0 && node.idle);
  t.strictSame([...node.subscriptions.keys()], []);
  t.equal(clock.pending, 0);
  await Promise.all([a.manager.close(), b.manager.close()]);
});
