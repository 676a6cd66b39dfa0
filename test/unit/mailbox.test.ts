import t from 'tap';
import { Mailbox, type MailLimits } from '../../src/domain-server/shard/mailbox/index.js';
import { flowOf, parseAddress, respond, type Message, type Request } from '../../src/protocol/index.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const sender = { runtime: parseAddress('hyperty-runtime://example.com/a') };
const send = (id: number, body: Record<string, unknown> = {}): Request => ({ id, type: 'create', from: alice, to: bob, body: { value: id, expect: 'receipt', store: true, ...body } });

const setUp = (limits: Partial<MailLimits> = {}, store: Store = memoryStore(), clock = new ManualClock()) => {
  const given: Message[] = [];
  const state = { here: false, acknowledges: true };
  const mailbox = new Mailbox({
    store, clock, log: () => undefined, acknowledges: () => state.acknowledges,
    give: (message) => { if (state.here) given.push(message); return state.here; },
  }, { epoch: 'e', limits });
  mailbox.load();
  const arrive = (): unknown[] => {
    state.here = true;
    given.length = 0;
    mailbox.renew(bob);
    mailbox.deliver(bob);
    return given.map(({ body }) => body?.value);
  };
  return { mailbox, clock, store, given, state, arrive };
};

t.test('MAL-3 mail is given in order, in each session, until it is acknowledged; also by the node\'s next life', async (t) => {
  const { mailbox, store, clock, arrive } = setUp();
  await Promise.all([1, 2, 3].map((id) => mailbox.keep(send(id), bob, sender)));
  t.same(arrive(), [1, 2, 3]);
  mailbox.deliver(bob);
  t.same(arrive(), [1, 2, 3], 'a new session gets all of it again');
  t.same(mailbox.settle(respond(send(1), 200)), [respond(send(1), 200)]);
  t.same(arrive(), [2, 3]);
  mailbox.close();
  const next = setUp({}, store, clock);
  t.match(next.mailbox.status, { messages: 2 });
  await next.mailbox.keep(send(4), bob, sender);
  t.same(next.arrive(), [2, 3, 4]);
  next.mailbox.close();
});

t.test('in one session a message is given once', async (t) => {
  const { mailbox, arrive, given } = setUp();
  await mailbox.keep(send(1), bob, sender);
  arrive();
  await mailbox.keep(send(1), bob, sender);
  t.equal(mailbox.hasFor(bob), false);
  mailbox.deliver(bob);
  await mailbox.keep(send(2), bob, sender);
  t.equal(mailbox.hasFor(bob), true);
  mailbox.deliver(bob);
  t.same(given.map(({ id }) => id), [1, 2]);
  t.match(mailbox.status, { messages: 2 }, 'the same message is kept once');
  mailbox.close();
});

t.test('MAL-4 what is kept expires, is counted and not given; a sender can ask for less than the most', async (t) => {
  const { mailbox, clock, arrive, store } = setUp({ ttl: 100 });
  await Promise.all([mailbox.keep(send(1, { ttl: 10 }), bob, sender), mailbox.keep(send(2, { ttl: 1000 }), bob, sender), mailbox.keep(send(3), bob, sender)]);
  clock.advance(11_000);
  t.match(mailbox.status, { messages: 2, expired: 1 });
  t.same(arrive(), [2, 3]);
  clock.advance(100_000);
  await turns();
  t.match(mailbox.status, { messages: 0, bytes: 0, expired: 3 });
  t.same([[...store.collection('mail').entries()], [...store.collection('mail-cards').entries()], clock.pending], [[], [], 0]);
});

t.test('MAL-4 one message can be too large, and all of a receiver, of a sender and of the domain too much', async (t) => {
  const other = parseAddress('hyperty://example.com/other');
  const { mailbox } = setUp({ messageBytes: 1000, perReceiver: 2, perSender: 3, messages: 4, sharePerAddress: 1 });
  t.throws(() => mailbox.keep(send(1, { value: 'x'.repeat(1000) }), bob, sender), { code: 'E_TOO_LARGE' });
  await mailbox.keep(send(1), bob, sender);
  await mailbox.keep(send(2), bob, sender);
  t.throws(() => mailbox.keep(send(3), bob, sender), { code: 'E_QUOTA', message: /for hyperty/ });
  await mailbox.keep(send(1), bob, sender);
  await mailbox.keep(send(4), other, sender);
  t.throws(() => mailbox.keep(send(5), other, sender), { code: 'E_QUOTA', message: /of hyperty-runtime/ });
  await mailbox.keep(send(6), other, { runtime: parseAddress('hyperty-runtime://example.com/c') });
  t.throws(() => mailbox.keep(send(7), parseAddress('hyperty://example.com/third'), { runtime: parseAddress('hyperty-runtime://example.com/d') }), { code: 'E_QUOTA', message: /domain/ });
  t.same(mailbox.settle(respond(send(1), 200)), [respond(send(1), 200)]);
  await mailbox.keep(send(8), bob, { runtime: parseAddress('hyperty-runtime://example.com/d') });
  t.match(mailbox.status, { messages: 4 }, 'there was room again');
  mailbox.close();
});

t.test('a receiver without room is offered its mail again later, and what comes meanwhile waits behind it', async (t) => {
  const { mailbox, clock, arrive, given } = setUp({ retryMs: 1000 });
  await Promise.all([1, 2].map((id) => mailbox.keep(send(id), bob, sender)));
  arrive();
  t.same(mailbox.settle(respond(send(1), 429)), [], 'its sender isn\'t told');
  t.same(mailbox.settle(respond(send(2), 429)), []);
  t.equal(mailbox.isHeld(bob), true);
  await mailbox.keep(send(3), bob, sender);
  mailbox.deliver(bob);
  given.length = 0;
  clock.advance(1000);
  t.same(given.map(({ id }) => id), [1, 2, 3]);
  t.equal(mailbox.isHeld(bob), false);
  t.same(mailbox.settle(respond(send(1), 404)), [respond(send(1), 404)], 'a refusal that is final is passed on');
  t.match(mailbox.status, { messages: 2, refused: 1 });
  mailbox.close();
});

t.test('mail always wants a receipt and has a number, and its sender hears of it if it asked', async (t) => {
  const { mailbox, given, arrive } = setUp();
  const { expect: _expect, ...body } = send(1).body ?? {};
  await mailbox.keep({ ...send(1), body }, bob, sender);
  await mailbox.keep(send(2, { flow: ['x', 7, 7] }), bob, sender);
  arrive();
  t.equal(given[0]!.body?.expect, 'receipt');
  t.equal(flowOf(given[0]!)?.epoch, 'e.mail');
  t.match(flowOf(given[1]!), { epoch: 'x', seq: 7, base: 7 }, 'a number that it came with stays, and what isn\'t here isn\'t waited for');
  t.same(mailbox.settle(respond(send(1), 200)), []);
  t.same(mailbox.settle(respond(send(2), 200)), [respond(send(2), 200)]);
  mailbox.close();
});

t.test('a receiver that acknowledges nothing has got what was given to its session', async (t) => {
  const { mailbox, state, arrive } = setUp();
  state.acknowledges = false;
  await mailbox.keep(send(1), bob, sender);
  mailbox.deliver(bob);
  t.match(mailbox.status, { messages: 1 }, 'not while it is away');
  t.same(arrive(), [1]);
  t.match(mailbox.status, { messages: 0, delivered: 1 });
  mailbox.close();
});

t.test('FLW-7 MAL-3 a receipt for many ends all of them; its sender hears what it understands', async (t) => {
  const { mailbox, given, arrive } = setUp();
  const receipt = (id: number, flow: unknown) => respond(send(id), 200, { path: 'msg-node', flow });
  for (const id of [1, 2, 3]) await mailbox.keep(send(id, { flow: ['x', id, 1] }), bob, sender);
  arrive();
  const many = receipt(2, ['x', 1, 2]);
  t.same(mailbox.settle(many), [many], 'who numbers his messages reads receipts for many');
  t.match(mailbox.status, { messages: 1, delivered: 2 });
  t.same(mailbox.settle(receipt(9, ['y', 3, 3])), [receipt(9, ['y', 3, 3])], 'another stream\'s is not the mailbox\'s');
  t.same(mailbox.settle({ ...receipt(3, ['x', 3, 3]), to: bob }), [{ ...receipt(3, ['x', 3, 3]), to: bob }], 'nor is another sender\'s');
  t.match(mailbox.status, { messages: 1 });
  mailbox.settle(receipt(3, ['x', 1, 3]));
  const { expect: _expect, ...body } = send(12).body ?? {};
  for (const message of [send(11), { ...send(12), body }, send(13)]) await mailbox.keep(message, bob, sender);
  arrive();
  const [first, , last] = given.map((message) => flowOf(message)!);
  t.same(mailbox.settle(receipt(13, [first!.epoch, first!.seq, last!.seq])), [11, 13].map((id) => respond(send(id), 200, { path: 'msg-node' })), 'others hear of each that they asked for');
  t.match(mailbox.status, { messages: 0, delivered: 6 });
  mailbox.close();
});
