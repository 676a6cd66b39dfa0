import t from 'tap';
import activateHandler from '../../src/protostubs/p2p-handler/index.js';
import activateRequester from '../../src/protostubs/p2p-requester/index.js';
import { ProtoflyError, respond, type Address, type Message, type Request, type WebRtcEngine, type WebRtcEvents, type WebRtcPeer } from '../../src/protocol/index.js';
import { turns } from '../support/manual-clock.js';
import { ALICE, BOB, clock, HANDLER, log, REQUESTER, RUNTIME_A, RUNTIME_B, SyncherNetwork, TestBus } from '../support/stub-harness.js';

/** Peers in memory: a channel opens when the answer is set, and frames arrive in order, a turn later. */
class MemoryEngine implements WebRtcEngine {
  readonly #offers = new Map<string, MemoryPeer>();
  /** Frames wait in their channel. */
  held: (() => void)[] | undefined;

  offer(_init: unknown, events: WebRtcEvents): Promise<{ peer: WebRtcPeer; sdp: string }> {
    const sdp = `offer ${String(this.#offers.size)}`;
    const peer = new MemoryPeer(this, events);
    this.#offers.set(sdp, peer);
    return Promise.resolve({ peer, sdp });
  }

  answer({ sdp }: { readonly sdp: string }, events: WebRtcEvents): Promise<{ peer: WebRtcPeer; sdp: string }> {
    const other = this.#offers.get(sdp);
    if (other === undefined) return Promise.reject(new ProtoflyError('E_MESSAGE', 'no such offer'));
    const peer = new MemoryPeer(this, events);
    peer.other = other;
    other.other = peer;
    return Promise.resolve({ peer, sdp: `answer to ${sdp}` });
  }
}

class MemoryPeer implements WebRtcPeer {
  readonly maxFrame = 64 * 1024;
  readonly pair = undefined;
  other: MemoryPeer | undefined;
  #state: 'new' | 'open' | 'closed' = 'new';

  constructor(private readonly engine: MemoryEngine, private readonly events: WebRtcEvents) {}

  addCandidate(): void { /* Every peer is in reach. */ }
  proceed(): void { /* It answered at once. */ }

  setAnswer(): void {
    setImmediate(() => { for (const peer of [this.other, this]) peer?.open(); });
  }

  open(): void {
    if (this.#state !== 'new') return;
    this.#state = 'open';
    this.events.onOpen();
  }

  send(frame: string | Uint8Array): boolean {
    const copy = typeof frame === 'string' ? frame : frame.slice();
    this.#later(() => { if (this.other?.isOpen === true) this.other.events.onFrame(copy); });
    return true;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  close(): void {
    this.#state = 'closed';
    this.#later(() => { this.other?.gone('the other side closed the channel'); });
  }

  gone(description: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.events.onClose({ failed: false, description });
  }

  #later(run: () => void): void {
    if (this.engine.held === undefined) setImmediate(run);
    else this.engine.held.push(run);
  }
}

const connect = async ({ withHandler = true } = {}) => {
  const engine = new MemoryEngine();
  const network = new SyncherNetwork();
  const [a, b] = [new TestBus(), new TestBus()];
  const handler = withHandler ? activateHandler(HANDLER, b, { runtimeURL: RUNTIME_B }, { clock, log, webrtc: engine, createSyncher: () => network.syncher(HANDLER) }) : undefined;
  const requester = activateRequester(REQUESTER, a, { runtimeURL: RUNTIME_A, remoteRuntimeURL: RUNTIME_B, p2pHandler: HANDLER }, { clock, log, webrtc: engine, createSyncher: () => network.syncher(REQUESTER) });
  if (withHandler) await Promise.all([a.status('live'), b.status('live', (body) => body['connection'] !== undefined)]);
  return {
    engine, network, a, b,
    received: () => [...b.ports.values()].flatMap(({ received }) => received.map(({ body }) => body?.value)),
    close: async () => { await Promise.all([requester.instance.close?.(), handler?.instance.close?.()]); },
  };
};

let ids = 0;
const note = (value: unknown): Request => ({ id: ++ids, type: 'update', from: ALICE, to: BOB, body: { value } });
const command = (resource: string): Request => ({ id: `c${String(++ids)}`, type: 'execute', from: RUNTIME_A, to: REQUESTER, body: { resource } });
const valuesOf = (bus: TestBus, connection?: Address): string[] =>
  bus.statuses.filter(({ body }) => connection === undefined || body['connection'] === connection).map(({ value, body }) => `${value}${(body['details'] as { answered?: boolean } | undefined)?.answered === true ? ', answered' : ''}`);
const answersOf = (bus: TestBus): unknown[] => bus.posted.filter(({ type }) => type === 'response').map(({ body }: Message) => body?.['code']);

t.test('each state of a set-up is reported once, in order; what is held is sent when it is live', async (t) => {
  const { a, b, received, close } = await connect();
  const [address] = [...b.ports.keys()];
  t.same(valuesOf(a).filter((value) => value !== 'in-progress, answered'), ['created', 'in-progress', 'live']);
  t.ok(valuesOf(a).includes('in-progress, answered'), 'STB-5');
  t.same(valuesOf(b, address), ['created', 'in-progress', 'live']);
  void a.give(note('one'));
  await b.watch.until(() => received().length === 1, 'the message');
  await close();
  await close();
  t.equal(valuesOf(a).at(-1), 'disconnected');
  t.equal(valuesOf(b, address).at(-1), 'disconnected');
});

t.test('a new generation replaces the connection without loss or reordering', async (t) => {
  const { engine, a, b, received, close } = await connect();
  for (let n = 0; n < 10; n += 1) void a.give(note(n));
  const answer = a.watch.until(() => answersOf(a).length === 1, 'the answer to /reconnect');
  void a.give(command('/reconnect'));
  void a.give(command('/reconnect'));
  await answer;
  t.same(answersOf(a), [409], 'one set-up at a time');
  // Messages over the old connection stay in flight while the new one opens.
  await a.watch.until(() => answersOf(a).length === 2, 'the new generation');
  engine.held = [];
  for (let n = 10; n < 20; n += 1) void a.give(note(n));
  for (const run of engine.held.splice(0)) run();
  engine.held = undefined;
  await b.watch.until(() => received().length === 20, 'all messages');
  t.same(received(), Array.from({ length: 20 }, (_, n) => n));
  t.same(answersOf(a), [409, 200]);
  t.same(a.statuses.filter(({ value }) => value === 'live').map(({ body }) => (body['details'] as { generation?: number }).generation).filter((generation) => generation !== undefined), [1, 2]);
  await close();
});

t.test('a connection that was live is disconnected, not failed, and can be set up again', async (t) => {
  const { a, b, received, close } = await connect();
  void a.give(command('/disconnect'));
  await a.status('disconnected');
  void a.give(note('lost'));
  await a.watch.until(() => answersOf(a).includes(503), 'the refusal');
  void a.give(command('/reconnect'));
  void a.give(note('held'));
  await b.watch.until(() => received().length === 1, 'the held message');
  t.same(received(), ['held']);
  t.same(valuesOf(a).filter((value) => !value.startsWith('in-progress')), ['created', 'live', 'disconnected', 'live']);
  await close();
});

t.test('a set-up that nobody answers fails, and is reported from its beginning when tried again', async (t) => {
  const { a, network, close } = await connect({ withHandler: false });
  await a.status('failed');
  t.match(a.statuses.at(-1)?.body, { details: { orderly: false, refusedWith: 404 } });
  void a.give(command('/reconnect'));
  await a.watch.until(() => valuesOf(a).filter((value) => value === 'failed').length === 2, 'the second failure');
  t.same(valuesOf(a).filter((value) => value !== 'in-progress'), ['created', 'failed', 'created', 'failed']);
  await close();
  await turns();
  t.equal(network.objects.size, 0);
});

t.test('a set-up to which the runtime objects ends without a report', async (t) => {
  const { a, b, close } = await connect();
  b.announce = (request) => respond(request, 486, { description: 'glare' });
  const reports = b.statuses.length;
  void a.give(command('/reconnect'));
  await a.watch.until(() => answersOf(a).length === 1, 'the answer');
  t.same(b.statuses.slice(reports).map(({ value }) => value), ['created']);
  t.equal(valuesOf(a).at(-1), 'live', 'the old connection goes on');
  await close();
});
