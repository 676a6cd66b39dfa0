import t, { type Test } from 'tap';
import { idsOf, parseAddress, type Message, type Request, type Response } from '../../src/protocol/index.js';
import { Receipts } from '../../src/runtime/delivery/index.js';
import { Inbox, type InboxInit, type Program, type Stored } from '../../src/runtime/hyperties/inbox/index.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const send = (id: number, body: Record<string, unknown> = { expect: 'receipt' }, type: Request['type'] = 'create'): Request =>
  ({ id, type, from: alice, to: bob, body: { value: id, ...body } });

const setUp = (init: Partial<InboxInit> = {}, store: Store = memoryStore()) => {
  const clock = new ManualClock();
  const replies: Response[] = [];
  const inbox = new Inbox({ stored: store.collection<Stored>('inbox'), clock, receipts: new Receipts({ reply: (response) => replies.push(response) }), reply: (response) => replies.push(response), log: () => undefined }, { address: bob, ...init });
  return { clock, inbox, store, codes: () => replies.map(({ id, body }) => [id, body.code]), replies };
};

/** A program that takes messages up to its window. */
const program = (window?: number): Program & { readonly got: unknown[] } => {
  const got: unknown[] = [];
  return { got, deliver: (message: Message) => { got.push(message.body?.value); }, ...(window === undefined ? {} : { window }) };
};

void t.test('what arrives while no program is attached waits on disk, is acknowledged, and comes first', async (t) => {
  const { inbox, store, codes } = setUp();
  for (const id of [1, 2, 3]) inbox.receive(send(id), { path: 'p2p' });
  t.same(codes(), [], 'not before it is on disk');
  await turns();
  t.same(codes(), [[1, 200], [2, 200], [3, 200]]);
  inbox.close();
  const again = setUp({}, store);
  t.equal(again.inbox.waiting.messages, 3, 'it is there in the next life');
  const reader = program();
  again.inbox.attach(reader);
  again.inbox.receive(send(4), { path: 'p2p' });
  t.same(reader.got, [1, 2, 3, 4]);
  t.same(again.codes(), [[4, 200]], 'what was acknowledged before isn\'t again');
  await turns();
  t.equal([...store.collection('inbox').entries()].length, 0);
  t.equal(again.inbox.waiting.messages, 0);
});

void t.test('a receipt tells how the message came', async (t) => {
  const { inbox, replies } = setUp();
  inbox.attach(program());
  inbox.receive(send(1), { path: 'p2p' });
  inbox.receive(send(2), { path: 'msg-node' });
  await turns();
  t.same(replies.map(({ body }) => body['path']), ['p2p', 'msg-node']);
  t.same(replies.map(({ from, to }) => [from, to]), [[bob, alice], [bob, alice]]);
});

void t.test('EXP-2 what a program answers tells how the question came, once it is final no more, and unless it tells something itself', (t) => {
  const { inbox } = setUp();
  const attachment = inbox.attach(program());
  for (const id of [1, 2, 3, 4]) inbox.receive(send(id, { expect: id === 4 ? 'receipt' : 'response' }), id === 2 ? { path: 'p2p', generation: 7 } : { path: 'msg-node' });
  const answered = (id: number, body: Record<string, unknown> & { code: number }): unknown => inbox.answered({ id, type: 'response', from: bob, to: alice, body }, attachment.program)?.body;
  t.same(answered(1, { code: 183 }), { code: 183, path: 'msg-node' });
  t.same(answered(1, { code: 200, value: 1 }), { code: 200, value: 1, path: 'msg-node' });
  t.same(answered(1, { code: 200 }), { code: 200 });
  t.same(answered(2, { code: 404 }), { code: 404, path: 'p2p', generation: 7 });
  t.same(answered(3, { code: 200, path: '/its/own' }), { code: 200, path: '/its/own' });
  t.same(answered(4, { code: 200 }), { code: 200 }, 'a receipt is the inbox\'s own');
  t.end();
});

/** A hyperty with several programs, each of which got the request `id`. */
const asked = (...programs: readonly Program[]) => {
  const world = setUp();
  const attachments = programs.map((each) => world.inbox.attach(each));
  world.inbox.receive(send(1, { expect: 'response' }), { path: 'local' });
  const answer = (by: number, code: number, value?: unknown): Response['body'] | undefined =>
    world.inbox.answered({ id: 1, type: 'response', from: bob, to: alice, body: { code, ...(value === undefined ? {} : { value }) } }, attachments[by]!.program)?.body;
  return { ...world, attachments, answer };
};

void t.test('EXP-7 of several programs the first success is the answer, whatever others have refused before', (t) => {
  const { clock, answer, codes } = asked(program(), program(), program());
  t.equal(answer(0, 403), undefined);
  t.equal(answer(0, 403), undefined, 'the same program again is not another one');
  t.same(answer(1, 183), { code: 183, path: 'local' }, 'what is provisional goes on');
  t.same(answer(1, 200, 'yes'), { code: 200, value: 'yes', path: 'local' });
  t.equal(answer(2, 200, 'me too'), undefined, 'there is one answer');
  t.equal(answer(2, 404), undefined);
  clock.advance(60_000);
  t.same(codes(), [], 'and no refusal later');
  t.equal(clock.pending, 0);
  t.end();
});

void t.test('EXP-7 the first refusal goes to the sender once every program has refused or gone', (t) => {
  const all = asked(program(), program());
  t.equal(all.answer(0, 429), undefined);
  t.same(all.answer(1, 403), { code: 429, path: 'local' });
  const gone = asked(program(), program());
  t.equal(gone.answer(0, 429), undefined);
  gone.attachments[0]!.detach();
  t.same(gone.codes(), [], 'the other one may still accept');
  gone.attachments[1]!.detach();
  t.same(gone.codes(), [[1, 429]]);
  t.same([all.clock.pending, gone.clock.pending], [0, 0]);
  t.end();
});

void t.test('EXP-7 nobody waits for a program that says that it answers nothing, nor longer than 2 s for others', (t) => {
  const watched = asked(program(), { ...program(), answers: false });
  t.same(watched.answer(0, 404), { code: 404, path: 'local' });
  const mute = asked(program(), program());
  t.equal(mute.answer(0, 404), undefined);
  mute.clock.advance(1999);
  t.same(mute.codes(), []);
  mute.clock.advance(1);
  t.same(mute.codes(), [[1, 404]]);
  t.equal(mute.answer(1, 200), undefined, 'too late');
  const closed = asked(program(), program());
  closed.answer(0, 404);
  closed.inbox.close();
  t.equal(closed.clock.pending, 0);
  t.end();
});

void t.test('a program with a window gets no more than it, and receipts come when it has taken', async (t) => {
  const { inbox, codes } = setUp();
  const reader = program(2);
  const attachment = inbox.attach(reader);
  for (const id of [1, 2, 3, 4]) inbox.receive(send(id), { path: 'local' });
  t.same(reader.got, [1, 2]);
  t.same(codes(), []);
  attachment.taken(1);
  t.same(reader.got, [1, 2, 3]);
  t.same(codes(), [[1, 200]]);
  attachment.taken(99);
  t.same(codes(), [[1, 200], [2, 200], [3, 200]], 'no more can be taken than was delivered');
  attachment.taken(-5);
  attachment.taken(Number.NaN);
  t.same(reader.got, [1, 2, 3, 4]);
  await turns();
});

void t.test('what a program hasn\'t taken goes to the next one, in order', async (t) => {
  const { inbox, codes } = setUp();
  const first = program(10);
  const attachment = inbox.attach(first);
  for (const id of [1, 2, 3, 4]) inbox.receive(send(id), { path: 'local' });
  attachment.taken(2);
  attachment.detach();
  attachment.detach();
  await turns();
  t.same(codes(), [[1, 200], [2, 200], [3, 200], [4, 200]], 'the rest is safe on disk');
  const second = program(10);
  inbox.attach(second);
  t.same(second.got, [3, 4]);
});

void t.test('several programs get every message each, and the slowest sets the pace', (t) => {
  const { inbox, codes } = setUp();
  const fast = program(10);
  const slow = program(10);
  const fastAttachment = inbox.attach(fast);
  const slowAttachment = inbox.attach(slow);
  for (const id of [1, 2, 3]) inbox.receive(send(id), { path: 'local' });
  fastAttachment.taken(3);
  t.same(codes(), []);
  slowAttachment.taken(1);
  t.same(codes(), [[1, 200]]);
  t.same([fast.got, slow.got], [[1, 2, 3], [1, 2, 3]]);
  slowAttachment.detach();
  t.same(codes(), [[1, 200], [2, 200], [3, 200]], 'without the slow one the fast one\'s pace counts');
  t.end();
});

void t.test('who asks is answered 408 when nobody is there to answer', (t) => {
  const { inbox } = setUp();
  t.throws(() => { inbox.receive(send(1, { expect: 'response' }), { path: 'p2p' }); }, { code: 'E_UNAVAILABLE' });
  t.throws(() => { inbox.receive(send(2, {}, 'read'), { path: 'p2p' }); }, { code: 'E_UNAVAILABLE' });
  inbox.receive(send(3, {}), { path: 'p2p' });
  t.equal(inbox.waiting.messages, 1, 'what asks nothing waits');
  t.end();
});

void t.test('a program that goes leaves no question waiting: it is answered 408', async (t) => {
  const { inbox, codes } = setUp();
  const attachment = inbox.attach(program(1));
  inbox.receive(send(1, { expect: 'response' }), { path: 'p2p' });
  attachment.detach();
  await turns();
  t.same(codes(), [[1, 408]]);
  t.equal(inbox.waiting.messages, 0);
});

void t.test('a full inbox stalls its senders, then refuses; room lets them go on', async (t) => {
  const { inbox, codes, clock } = setUp({ maxMessages: 2, maxStalled: 2, stallMs: 1000 });
  for (const id of [1, 2, 3, 4, 5]) inbox.receive(send(id), { path: 'p2p' });
  await turns();
  t.same(codes(), [[5, 429], [1, 200], [2, 200]], '3 and 4 are stalled, 5 is one too many');
  const reader = program(1);
  const attachment = inbox.attach(reader);
  attachment.taken(1);
  attachment.detach();
  await turns();
  t.same(codes().slice(3), [[3, 200]], 'there was room for one');
  clock.advance(1000);
  t.same(codes().slice(4), [[4, 429]], 'the other\'s time is up');
});

void t.test('bytes are bounded too', async (t) => {
  const { inbox, codes } = setUp({ maxBytes: 1000, stallMs: 1000 });
  inbox.receive(send(1, { expect: 'receipt', value: 'x'.repeat(600) }), { path: 'p2p' });
  inbox.receive(send(2, { expect: 'receipt', value: 'x'.repeat(600) }), { path: 'p2p' });
  inbox.receive(send(3, { expect: 'receipt', value: 'x'.repeat(600) }), { path: 'p2p' });
  inbox.receive(send(4, { expect: 'receipt', value: 'x'.repeat(600) }), { path: 'p2p' });
  await turns();
  t.ok(codes().some(([id, code]) => id === 4 && code === 429));
  t.ok(inbox.waiting.bytes <= 3000);
  t.equal(codes().filter(([, code]) => code === 200).length, 1);
});

void t.test('a repeated message is acknowledged again, but taken once', async (t) => {
  const { inbox, codes, replies } = setUp();
  const reader = program(10);
  const attachment = inbox.attach(reader);
  const marked = (id: number, seq: number, base: number): Request => send(id, { expect: 'receipt', flow: ['e', seq, base] });
  inbox.receive(marked(1, 1, 1), { path: 'p2p' });
  inbox.receive(marked(1, 1, 1), { path: 'msg-node' });
  t.same(codes(), [], 'the first copy isn\'t taken yet');
  attachment.taken(1);
  inbox.receive(marked(1, 1, 1), { path: 'msg-node' });
  await turns();
  t.same(codes(), [[1, 200], [1, 200]]);
  t.same(replies.map(({ body: { path, flow } }) => [path, flow]), [['p2p', ['e', 1, 1]], ['msg-node', ['e', 1, 1]]]);
  inbox.receive(marked(3, 3, 2), { path: 'p2p' });
  inbox.receive(marked(2, 2, 2), { path: 'msg-node' });
  t.same(reader.got, [1, 2, 3]);
  attachment.taken(3);
  await turns();
  t.same(replies.slice(2).map(({ body: { path, flow } }) => [path, flow]), [['msg-node', ['e', 2, 2]], ['p2p', ['e', 3, 3]]], 'each by the way that it came, also if it waited for one before it');
});

void t.test('FLW-7 what a program takes in one go is acknowledged in one go', async (t) => {
  const { inbox, replies } = setUp();
  const attachment = inbox.attach(program(10));
  for (const seq of [1, 2, 3, 4]) inbox.receive(send(seq, { expect: 'receipt', flow: ['e', seq, 1] }), { path: 'p2p', generation: 3 });
  attachment.taken(3);
  await turns();
  t.same(replies.map(({ id, body }) => [id, body]), [[3, { code: 200, path: 'p2p', generation: 3, flow: ['e', 1, 3] }]]);
  inbox.close();
});

void t.test('FLW-6 a full inbox refuses each copy, and never acknowledges what it refused', async (t) => {
  const { inbox, codes } = setUp({ maxMessages: 1, maxStalled: 0 });
  const marked = (seq: number): Request => send(seq, { expect: 'receipt', flow: ['e', seq, 1] });
  const receive = (seq: number): void => { inbox.receive(marked(seq), { path: 'p2p' }); };
  receive(1);
  receive(2);
  await turns();
  t.same(codes(), [[2, 429], [1, 200]]);
  inbox.attach(program());
  receive(2);
  t.same(codes().at(-1), [2, 429], 'though there is room now: its sender was told that it was refused');
  inbox.close();
});

void t.test('what the last life of a runtime kept is not taken again when its sender, who saw no receipt, sends it once more', async (t) => {
  const marked = (id: number): Request => send(id, { expect: 'receipt', flow: ['e', id, 1] });
  const first = setUp();
  for (const id of [1, 2]) first.inbox.receive(marked(id), { path: 'p2p' });
  await turns();
  first.inbox.close();
  const { inbox, replies } = setUp({}, first.store);
  for (const id of [1, 2, 3]) inbox.receive(marked(id), { path: 'msg-node' });
  await turns();
  const reader = program();
  inbox.attach(reader);
  t.same(reader.got, [1, 2, 3]);
  t.same(replies.map(({ body: { code, flow } }) => [code, flow]), [[200, ['e', 1, 3]]]);
});

void t.test('responses go to the program that asked', (t) => {
  const { inbox } = setUp();
  const bystander = program();
  inbox.attach(bystander);
  const answers: number[] = [];
  inbox.expectResponse('q1', (response) => { answers.push(response.body.code); });
  const response = (code: number): Response => ({ id: 'q1', type: 'response', from: alice, to: bob, body: { code } });
  inbox.receive(response(183), { path: 'p2p' });
  inbox.receive(response(200), { path: 'p2p' });
  t.same(answers, [183, 200]);
  t.same(bystander.got, []);
  t.end();
});

void t.test('answers to several programs that send as one hyperty find each its own, of the newest ten thousand at least', (t) => {
  const { inbox } = setUp();
  const bystander: Message[] = [];
  inbox.attach({ deliver: (message) => { bystander.push(message); } });
  const answered: string[] = [];
  const hear = (name: string) => (response: Response): void => { answered.push(`${name}: ${idsOf(response).join(' ')}`); };
  const [one, other] = [hear('one'), hear('other')];
  const receive = (id: string, ids?: readonly string[]): void => { inbox.receive({ id, type: 'response', from: alice, to: bob, body: { code: 200, ...(ids === undefined ? {} : { receiptOf: ids }) } }, { path: 'p2p' }); };
  inbox.expectResponse('a', one);
  for (let i = 0; i < 50_000; i++) inbox.expectResponse(`q${String(i)}`, other);
  receive('a');
  receive('q49999');
  receive('q40000');
  t.same(answered.splice(0), ['one: a', 'other: q49999', 'other: q40000']);
  receive('q40002', ['b', 'q40001', 'c', 'q40002']);
  t.same(answered.splice(0), ['one: b c', 'other: q40001 q40002'], 'of a receipt for many each gets its part');
  inbox.forgetAsker(one);
  receive('d');
  t.same([answered, bystander.map(({ id }) => id)], [[], ['d']], 'what nobody waits for goes to whoever is attached');
  t.end();
});

void t.test('discarding tells how much was lost', async (t: Test) => {
  const { inbox, store } = setUp();
  for (const id of [1, 2]) inbox.receive(send(id), { path: 'p2p' });
  await turns();
  t.equal(await inbox.discard(), 2);
  t.equal([...store.collection('inbox').entries()].length, 0);
});
