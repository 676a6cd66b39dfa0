import t from 'tap';
import { MessageBus } from '../../src/bus/index.js';
import { Mailbox } from '../../src/domain-server/shard/mailbox/index.js';
import { child, flowOf, parseAddress, ProtoflyError, rangeOf, respond, type Address, type Message, type RegistryRecord, type Request, type Response } from '../../src/protocol/index.js';
import { LaneReader, LaneWriter } from '../../src/protostubs/p2p/lanes.js';
import { Incoming, Outgoing, Receipts, type Carrier } from '../../src/runtime/delivery/index.js';
import { Inbox, type InboxInit, type KeptCheckpoint, type Stored } from '../../src/runtime/hyperties/inbox/index.js';
import { Outbox, type KeptMessage, type KeptPair, type OutboxInit } from '../../src/runtime/delivery/outbox/index.js';
import type { Records } from '../../src/runtime/directory/records.js';
import type { Hyperties } from '../../src/runtime/hyperties/hyperties.js';
import type { MessageNodes } from '../../src/runtime/nodes/message-nodes.js';
import type { Connections } from '../../src/runtime/p2p/connections.js';
import { P2pConnection } from '../../src/runtime/p2p/p2p-connection.js';
import { RouteFinder } from '../../src/runtime/routing/route-finder.js';
import { Router } from '../../src/runtime/routing/router.js';
import { memoryStore, type Collection, type Store } from '../../src/store/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const sender = parseAddress('hyperty-runtime://example.com/a');
const message = (id: number, body: Record<string, unknown> = {}): Request => ({ id, type: 'create', from: alice, to: bob, body: { value: id, expect: 'receipt', ...body } });

class Lane implements Carrier {
  readonly kind = 'msg-node';
  isAway = false;
  readonly address: Address;
  readonly sent: Message[] = [];
  constructor(name: string) {
    this.address = parseAddress(`hyperty-runtime://example.com/r/${name}`);
  }
  send(sent: Message): void {
    this.sent.push(sent);
  }
}

/** A store whose writes the test completes or fails. */
const heldStore = () => {
  const store = memoryStore();
  const waiting: { readonly done: () => void; readonly fail: (error: Error) => void }[] = [];
  let isHeld = false;
  let inTransaction = false;
  const hold = <T>(value: T): Promise<T> => isHeld ? new Promise<T>((resolve, reject) => waiting.push({ done: () => { resolve(value); }, fail: reject })) : Promise.resolve(value);
  const held: Store = {
    collection: <T>(name: string): Collection<T> => {
      const collection = store.collection<T>(name);
      return {
        get: (key) => collection.get(key),
        entries: (range) => collection.entries(range),
        count: () => collection.count(),
        put: async (key, value) => {
          if (!inTransaction) await hold(undefined);
          await collection.put(key, value);
        },
        delete: (key) => collection.delete(key),
      };
    },
    transaction: async (run) => {
      inTransaction = true;
      const result = store.transaction(run);
      inTransaction = false;
      return hold(await result);
    },
    close: () => store.close(),
  };
  return {
    store: held,
    hold: () => { isHeld = true; },
    through: () => { isHeld = false; for (const { done } of waiting.splice(0)) done(); },
    fail: (error: Error) => { isHeld = false; for (const { fail } of waiting.splice(0)) fail(error); },
  };
};

const startInbox = (store: Store, init: Partial<InboxInit> = {}, clock = new ManualClock()) => {
  const replies: Response[] = [];
  const reply = (response: Response): void => { replies.push(response); };
  const inbox = new Inbox({
    stored: store.collection<Stored>('inbox'), positions: store.collection<KeptCheckpoint>('positions'), clock, receipts: new Receipts({ reply }), reply, log: () => undefined,
  }, { address: bob, ...init });
  const said = (): unknown[] => replies.map(({ body, id }) => [rangeOf({ body } as Response)?.last ?? id, body.code]);
  return { inbox, replies, said, clock };
};

const startOutbox = (init: Partial<OutboxInit> = {}, store: Store = memoryStore(), clock = new ManualClock()) => {
  const lane = new Lane('node');
  const replies: Response[] = [];
  const state = { isAway: false };
  const outbox = new Outbox({
    messages: store.collection<KeptMessage>('outbox'), pairs: store.collection<KeptPair>('outbox-pairs'), clock, log: () => undefined,
    routes: { route: () => lane, isAway: () => state.isAway }, reply: (response) => { replies.push(response); },
  }, { epoch: 'e', ...init });
  const said = (): unknown[] => replies.map(({ id, body }) => [id, body.code, ...(body['uncertain'] === true ? ['uncertain'] : [])]);
  return { outbox, lane, replies, said, state, clock, store };
};

void t.test('FLW-5 a position on disk does not include messages that were handed to a program and not taken', async (t) => {
  const store = memoryStore();
  const first = startInbox(store);
  const attachment = first.inbox.attach({ deliver: () => undefined, window: 10 });
  for (const seq of [1, 2, 3]) first.inbox.receive(message(seq, { flow: ['e', seq, 1] }), { path: 'p2p' });
  attachment.taken(1);
  first.clock.advance(1000);
  await turns();
  const next = startInbox(store);
  const got: unknown[] = [];
  next.inbox.attach({ deliver: ({ body }) => { got.push(body?.value); } });
  for (const seq of [1, 2, 3]) next.inbox.receive(message(seq, { flow: ['e', seq, 1] }), { path: 'msg-node' });
  await turns();
  t.same(got, [2, 3], 'a killed runtime\'s program may have taken them, but nobody knows');
  t.end();
});

void t.test('MAL-1 the 202 of a mailbox comes when the message is on disk, not before', async (t) => {
  const { store, hold, through } = heldStore();
  const mailbox = new Mailbox({ store, clock: new ManualClock(), log: () => undefined, acknowledges: () => true, give: () => false }, { epoch: 'e' });
  hold();
  let answered = false;
  const kept = mailbox.keep(message(1, { store: true }), bob, { runtime: sender }).then(() => { answered = true; });
  const again = mailbox.keep(message(1, { store: true }), bob, { runtime: sender });
  await turns();
  t.equal(answered, false);
  through();
  await Promise.all([kept, again]);
  t.equal(answered, true);
  mailbox.close();
});

void t.test('MAL-1 a mailbox that could not write refuses, and keeps nothing', async (t) => {
  const { store, hold, fail } = heldStore();
  const mailbox = new Mailbox({ store, clock: new ManualClock(), log: () => undefined, acknowledges: () => true, give: () => false }, { epoch: 'e' });
  hold();
  const kept = mailbox.keep(message(1, { store: true }), bob, { runtime: sender });
  const refused = t.rejects(kept, { code: 'E_STORE' });
  await turns();
  fail(new ProtoflyError('E_STORE', 'the disk is full'));
  await refused;
  t.equal(mailbox.status.messages, 0);
  mailbox.close();
});

void t.test('P2P lanes beyond the last number replace the oldest: no message comes under another\'s addresses', (t) => {
  const writer = new LaneWriter();
  const reader = new LaneReader();
  const there = (text: string): string | undefined => writer.shorten(text).split('\n').map((line) => reader.read(line)).at(-1);
  const texts = Array.from({ length: 700 }, (_, index) => `{"id":${String(index)},"type":"create","from":"hyperty://a.example/${String(index % 300)}","to":"hyperty://b.example/1","body":{}}`);
  for (const text of [...texts, ...texts]) t.equal(there(text), text);
  t.end();
});

void t.test('FLW-6 a refusal for good outlives the receiver: a copy of the message is refused again, not acknowledged', async (t) => {
  const store = memoryStore();
  const first = startInbox(store, { maxMessages: 1, maxStalled: 0 });
  for (const seq of [1, 2]) first.inbox.receive(message(seq, { flow: ['e', seq, 1] }), { path: 'p2p' });
  await turns();
  t.same(first.said().sort(), [[1, 200], [2, 429]]);
  const next = startInbox(store);
  next.inbox.receive(message(2, { flow: ['e', 2, 1] }), { path: 'p2p' });
  await turns();
  t.same(next.said(), [[2, 429]]);
});

void t.test('FLW-6 a refusal for good leaves when it is on disk; if it can\'t be written it is uncertain', async (t) => {
  const { store, hold, fail } = heldStore();
  const { inbox, replies } = startInbox(store, { maxMessages: 0, maxStalled: 0 });
  hold();
  inbox.receive(message(1, { flow: ['e', 1, 1] }), { path: 'p2p' });
  await turns();
  t.same(replies, []);
  fail(new ProtoflyError('E_STORE', 'the disk is full'));
  await turns();
  t.match(replies, [{ id: 1, body: { code: 429, uncertain: true, flow: ['e', 1, 1] } }]);
});

void t.test('an inbox that can not write refuses what was to be kept, and takes it in order when it comes again', async (t) => {
  const { store, hold, fail } = heldStore();
  const { inbox, said, replies } = startInbox(store);
  const kept = (seq: number): Request => message(seq, { store: true, flow: ['e', seq, 1] });
  hold();
  inbox.receive(kept(1), { path: 'msg-node' });
  inbox.receive(kept(2), { path: 'msg-node' });
  await turns();
  t.same(said(), []);
  fail(new ProtoflyError('E_STORE', 'the disk is full'));
  await turns();
  t.same(said(), [[1, 500], [2, 500]]);
  replies.length = 0;
  inbox.receive(kept(2), { path: 'msg-node' });
  inbox.receive(kept(1), { path: 'msg-node' });
  await turns();
  const got: unknown[] = [];
  inbox.attach({ deliver: ({ body }) => { got.push(body?.value); } });
  t.same(got, [1, 2]);
  t.same(said(), [[2, 200]], 'one receipt for both');
});

void t.test('an outbox that can not write tells the sender', async (t) => {
  const { store, hold, fail } = heldStore();
  const { outbox, said, state } = startOutbox({}, store);
  state.isAway = true;
  hold();
  void outbox.send(message(1, { store: true }), bob);
  await turns();
  t.same(said(), []);
  fail(new ProtoflyError('E_STORE', 'the disk is full'));
  await turns();
  t.same(said(), [[1, 500]]);
  t.same(outbox.waiting, { messages: 0, bytes: 0 });
  outbox.close();
});

void t.test('MAL-5 an outbox without room says so; of a message that has left it says that it may have arrived, and doesn\'t send it again', async (t) => {
  const { outbox, lane, said, state, clock } = startOutbox({ maxMessages: 1 });
  void outbox.send(message(1, { store: true }), bob);
  void outbox.send(message(2, { store: true }), bob);
  await turns();
  t.equal(lane.sent.length, 2);
  state.isAway = true;
  clock.advance(3000);
  await turns();
  t.same(said(), [[2, 507, 'uncertain'], [1, 202]]);
  t.throws(() => outbox.send(message(3, { store: true }), bob), { code: 'E_QUOTA' });
  state.isAway = false;
  const before = lane.sent.length;
  outbox.lost(lane);
  await turns();
  t.same(lane.sent.slice(before).map(({ id }) => id), [1], 'its sender has been told that it is given up');
  outbox.close();
});

void t.test('MAL-5 messages with one and the same id are told apart: each goes once, and the flow goes on', async (t) => {
  const { outbox, lane, said, clock } = startOutbox();
  for (let n = 0; n < 20; n += 1) void outbox.send(message(7, { store: true, value: n }), bob);
  await turns();
  const sent = lane.sent.map((one) => flowOf(one)!);
  t.equal(sent.length, 20);
  outbox.settle(respond(message(7), 200, { flow: [sent[0]!.epoch, 1, 20] }, bob));
  clock.advance(2500);
  void outbox.send(message(7, { store: true, value: 20 }), bob);
  await turns();
  t.equal(lane.sent.length, 21);
  const last = flowOf(lane.sent[20]!)!;
  t.equal(last.base, last.seq, 'nothing of before is awaited');
  for (let second = 0; second < 5; second += 1) {
    clock.advance(1000);
    await turns(2);
  }
  t.same(lane.sent.slice(21).map((one) => flowOf(one)?.seq), [last.seq], 'sent again when no receipt comes, and nothing else is');
  t.equal(said().length, 0, 'receipts go to the caller');
  outbox.close();
});

void t.test('FLW-2 a flow that is forgotten gives back the bytes that it held', (t) => {
  const incoming = new Incoming<number>({ sizeOf: (size) => size }, { maxHeldBytes: 100, maxStreams: 2 });
  const sort = (epoch: string, seq: number, size = 60): string => incoming.sort(size, alice, { epoch, seq, base: 1 }).kind;
  t.equal(sort('a', 2), 'held');
  t.equal(sort('b', 2), 'overflow');
  t.equal(sort('c', 1, 1), 'ready');
  t.equal(sort('d', 2), 'held', 'the room of the first, which was quiet longest');
  t.end();
});

void t.test('FLW-2 the flow that was quiet longest is forgotten, not the one that began first', (t) => {
  const incoming = new Incoming<number>({ sizeOf: () => 1 }, { maxStreams: 3 });
  const sort = (epoch: string, seq: number): string => incoming.sort(seq, alice, { epoch, seq, base: 1 }).kind;
  t.equal(sort('live', 1), 'ready');
  incoming.taken(alice, { epoch: 'live', seq: 1 });
  for (let n = 0; n < 40; n += 1) {
    t.equal(sort(`once ${String(n)}`, 1), 'ready');
    t.equal(sort('live', 1), 'repeated');
  }
  t.end();
});

void t.test('FLW-3 a carrier that is lost while messages move loses none of them', async (t) => {
  const lanes = [new Lane('one'), new Lane('two'), new Lane('three')] as const;
  let at = 0;
  const held: (() => void)[] = [];
  const outgoing = new Outgoing({
    clock: new ManualClock(), reply: () => { t.fail('nothing is refused'); },
    routes: { route: () => { const lane = lanes[at]!; return at === 1 ? new Promise<Lane>((resolve) => held.push(() => { resolve(lane); })) : lane; } },
  }, { epoch: 'e' });
  for (const id of [1, 2, 3]) void outgoing.send(message(id), bob, lanes[0]);
  at = 1;
  outgoing.lost(lanes[0]);
  held.splice(0).forEach((go) => { go(); });
  await Promise.resolve();
  at = 2;
  outgoing.lost(lanes[1]);
  held.splice(0).forEach((go) => { go(); });
  await turns();
  t.same(lanes[2].sent.map(({ id }) => id).toSorted(), [1, 2, 3]);
  outgoing.close();
});

void t.test('FLW-3 a message that is sent in the moment when others have moved leaves at once', async (t) => {
  const lanes = [new Lane('one'), new Lane('two')] as const;
  const outgoing = new Outgoing({ clock: new ManualClock(), routes: { route: () => lanes[1] }, reply: () => undefined }, { epoch: 'e' });
  // Tries every number of microtasks after the move begins. One of them hits the moment between its last
  // message and its end.
  for (let microtasks = 0; microtasks < 12; microtasks += 1) {
    const [before, id] = [lanes[1].sent.length, 10 * (microtasks + 1)];
    void outgoing.send(message(id), bob, lanes[0]);
    outgoing.lost(lanes[0]);
    for (let n = 0; n < microtasks; n += 1) await Promise.resolve();
    void outgoing.send(message(id + 1), bob, lanes[1]);
    await turns();
    t.same(lanes[1].sent.slice(before).map((sent) => sent.id), [id, id + 1], `${String(microtasks)} microtasks later`);
    for (const sent of lanes[1].sent.slice(before)) outgoing.settle(respond(sent as Request, 200, { flow: [flowOf(sent)!.epoch, flowOf(sent)!.seq, flowOf(sent)!.seq] }, bob));
  }
  outgoing.close();
});

void t.test('FLW-3 a message that nobody acknowledges gets an answer in the end', async (t) => {
  const lane = new Lane('one');
  const replies: Response[] = [];
  const clock = new ManualClock();
  const outgoing = new Outgoing({ clock, routes: { route: () => lane }, reply: (response) => { replies.push(response); } }, { epoch: 'e' });
  void outgoing.send(message(1), bob, lane);
  for (let s = 0; s < 100; s += 1) { clock.advance(1000); await turns(1); }
  void outgoing.send(message(2), bob, lane);
  for (let s = 0; s < 30; s += 1) { clock.advance(1000); await turns(1); }
  t.match(replies, [{ id: 1, body: { code: 408, uncertain: true } }]);
  t.equal(replies.length, 1, 'the second still waits');
  for (let s = 0; s < 120; s += 1) { clock.advance(1000); await turns(1); }
  t.match(replies.map(({ id }) => id), [1, 2]);
  outgoing.close();
});

void t.test('durations are steady time: setting the clock back or forward sends nothing late, and forgets nothing', async (t) => {
  for (const set of [-3_600_000, 300_000]) {
    const lane = new Lane('one');
    const clock = new ManualClock();
    const outgoing = new Outgoing({ clock, routes: { route: () => lane }, reply: () => { t.fail('nothing is refused'); } }, { epoch: 'e' });
    void outgoing.send(message(1), bob, lane);
    clock.setBy(set);
    for (let s = 0; s < 5; s += 1) { clock.advance(1000); await turns(1); }
    t.ok(lane.sent.length >= 2, 'it is sent again');
    outgoing.close();
  }
});

void t.test('MAL-4 the time that a message has already waited counts at the domain, too', async (t) => {
  const { outbox, lane, state, clock } = startOutbox();
  state.isAway = true;
  void outbox.send(message(1, { store: true, ttl: 60 }), bob);
  for (let s = 0; s < 57; s += 1) { clock.advance(1000); await turns(1); }
  state.isAway = false;
  outbox.wake();
  await turns();
  t.same(lane.sent.map(({ body }) => body?.['ttl']), [3]);
  outbox.close();
});

void t.test('MAL-6 mail that expires does not end the way through the domain while older mail waits there', async (t) => {
  const routes: unknown[] = [];
  const clock = new ManualClock();
  const lane = new Lane('node');
  const store = memoryStore();
  const outbox = new Outbox({
    messages: store.collection<KeptMessage>('outbox'), pairs: store.collection<KeptPair>('outbox-pairs'), clock, log: () => undefined,
    routes: { route: ({ p2p }) => { routes.push(p2p); return lane; }, isAway: () => false }, reply: () => undefined,
  }, { epoch: 'e' });
  const atDomain = (id: number): void => { outbox.settle(respond(message(id), 202, { stored: 'domain' }, bob)); };
  void outbox.send(message(1, { store: true }), bob);
  void outbox.send(message(2, { store: true, ttl: 5 }), bob);
  await turns();
  atDomain(1);
  atDomain(2);
  for (let s = 0; s < 300; s += 1) { clock.advance(1000); await turns(1); }
  void outbox.send(message(3, { store: true }), bob);
  await turns();
  t.equal(routes.at(-1), false, 'the third goes behind the first');
  outbox.close();
});

void t.test('FLW-2 mail that its flow has gone past is handed on late, not acknowledged unseen', (t) => {
  const incoming = new Incoming<number>({ sizeOf: () => 1 });
  t.equal(incoming.sort(3, alice, { epoch: 'e', seq: 3, base: 3 }, true).kind, 'ready');
  incoming.taken(alice, { epoch: 'e', seq: 3 });
  t.same(incoming.sort(1, alice, { epoch: 'e', seq: 1, base: 1 }, true), { kind: 'ready', items: [1] });
  incoming.taken(alice, { epoch: 'e', seq: 1 });
  t.equal(incoming.sort(1, alice, { epoch: 'e', seq: 1, base: 1 }, true).kind, 'repeated', 'once');
  t.equal(incoming.sort(2, alice, { epoch: 'e', seq: 2, base: 1 }).kind, 'late', 'other messages were given up by their sender');
  t.end();
});

void t.test('FLW-6 kept messages stay in order through an inbox that has no room for the one in the middle', async (t) => {
  const store = memoryStore();
  const first = startInbox(store, { maxBytes: 2000 });
  const kept = (seq: number): Request => message(seq, { store: true, flow: ['e', seq, 1], ...(seq === 2 ? { value: 'x'.repeat(2500) } : {}) });
  for (const seq of [1, 2, 3]) first.inbox.receive(kept(seq), { path: 'p2p' });
  await turns();
  first.clock.advance(30_000);
  first.inbox.receive(kept(4), { path: 'p2p' });
  await turns();
  t.same(first.said(), [[1, 200], [2, 429], [3, 429]], 'the fourth waits for them');
  const next = startInbox(store, { maxBytes: 2000 });
  const got: unknown[] = [];
  next.inbox.attach({ deliver: ({ id }) => { got.push(id); } });
  for (const seq of [1, 3, 4, 2]) next.inbox.receive(kept(seq), { path: 'msg-node' });
  await turns();
  t.same(got, [1, 2, 3, 4]);
});

void t.test('RTE-9 a runtime relays nothing for third parties', async (t) => {
  const clock = new ManualClock();
  const node = new Lane('node');
  const carol = parseAddress('hyperty://elsewhere.example/carol');
  const record: RegistryRecord = { url: carol, runtime: parseAddress('hyperty-runtime://elsewhere.example/c'), dataSchemes: [], resources: [], status: 'live', expires: 3600 };
  const records = { known: () => record, find: async () => record, last: () => record } as unknown as Records;
  const bus = new MessageBus({ clock });
  const outgoing = new Outgoing({ clock, routes: { route: () => node }, reply: () => undefined }, { epoch: 'e' });
  const nodes = { carrier: () => node, wayBack: () => node, isAway: () => false, wasLive: () => true } as unknown as MessageNodes;
  const init = { runtime: parseAddress('hyperty-runtime://example.com/b') };
  const routes = new RouteFinder({
    records, nodes,
    hyperties: { find: () => undefined } as unknown as Hyperties,
    connections: { live: () => undefined, suspect: () => undefined, missed: () => undefined, handler: undefined } as unknown as Connections,
  }, init);
  bus.resolveBy(new Router({ routes, records, nodes, outgoing, reply: () => undefined, outbox: startOutbox().outbox }, init));
  const peer = parseAddress('hyperty-runtime://example.com/a');
  const connection = new P2pConnection({ clock }, { address: child(peer, 'connection'), stub: child(peer, 'p2prequester/1'), role: 'requester', remoteRuntime: peer, generation: 1 });
  const forward = { ...message(1), to: carol };
  void bus.post(forward);
  t.equal(node.sent.length, 1, 'a program\'s own message goes there');
  for (const body of [{ expect: 'receipt' }, { expect: 'receipt', store: true }, {}]) void bus.post({ ...forward, body }, connection);
  await turns();
  t.same(node.sent.slice(1).filter(({ to }) => to === carol), []);
  outgoing.close();
});

void t.test('an inbox leaves no timer behind, however often programs leave', (t) => {
  const { inbox, clock } = startInbox(memoryStore(), { maxMessages: 0 });
  for (const seq of [1, 2, 3]) inbox.receive(message(seq, { flow: ['e', seq, 1] }), { path: 'p2p' });
  for (let n = 0; n < 10; n += 1) inbox.attach({ deliver: () => undefined, window: 0 }).detach();
  t.ok(clock.pending <= 2, 'one for room, one for positions');
  inbox.close();
  t.equal(clock.pending, 0);
  t.end();
});
