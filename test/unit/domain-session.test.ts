import t from 'tap';
import { NODE_LIMITS } from '../../src/domain-server/shard/message-node/limits.js';
import { Session, type Budget } from '../../src/domain-server/shard/message-node/session.js';
import type { Link, LinkEnd } from '../../src/link/link.js';
import { ProtoflyError, type Address, type Message } from '../../src/protocol/index.js';
import { ManualClock } from '../support/manual-clock.js';

const RUNTIME = 'hyperty-runtime://a.example/r' as Address;

/** A carrier whose backpressure and end the test controls. */
const handCarrier = (): { link: Link<Message>; taken: () => number; sent: Message[]; moved: number; jam(): void; drain(): void; end(): void } => {
  const sent: Message[] = [];
  let jammed: { promise: Promise<void>; settle: () => void } | undefined;
  let over = false;
  const carrier = {
    sent,
    moved: 0,
    taken: () => carrier.moved,
    jam: () => {
      let settle: () => void = () => undefined;
      const promise = new Promise<void>((resolve) => { settle = resolve; });
      jammed = { promise, settle };
    },
    drain: () => { jammed?.settle(); jammed = undefined; },
    end: () => { over = true; },
    link: {
      name: 'by hand',
      closed: new Promise<LinkEnd>(() => undefined),
      stats: { sent: 0, received: 0, rejected: 0 },
      receive: () => undefined,
      close: () => Promise.resolve(),
      send: (message: Message) => {
        if (over) throw new ProtoflyError('E_LINK_CLOSED', 'over');
        sent.push(message);
        return jammed?.promise;
      },
    },
  };
  return carrier;
};

const setUp = (): { clock: ManualClock; session: Session; budget: Budget; events: string[] } => {
  const clock = new ManualClock();
  const budget = { bytes: 0 };
  const events: string[] = [];
  const session = new Session({
    clock, budget, limits: { ...NODE_LIMITS, waitingPerSession: 3, waitingBytesPerSession: 1000, stallMs: 5000, sessionTtlMs: 60_000 },
    onExpired: () => { events.push('expired'); },
    onStalled: () => { events.push('stalled'); },
  }, { runtime: RUNTIME, tokenHash: '' });
  return { clock, session, budget, events };
};

const message = (id: number, fill = ''): Message => ({ id, type: 'create', from: RUNTIME, to: RUNTIME, body: { value: fill } });
const ids = (messages: readonly Message[]): unknown[] => messages.map(({ id }) => id);

void t.test('nothing is sent before flush; then what waited comes first, in order', (t) => {
  const { session, budget } = setUp();
  const carrier = handCarrier();
  void session.deliver(message(1));
  session.attach(carrier);
  void session.deliver(message(2));
  t.same(carrier.sent, []);
  t.ok(budget.bytes > 0);
  session.flush();
  void session.deliver(message(3));
  t.same(ids(carrier.sent), [1, 2, 3]);
  t.equal(budget.bytes, 0);
  t.end();
});

void t.test('count and bytes of what waits are bounded, and given back when the session ends', (t) => {
  const { session, budget } = setUp();
  t.throws(() => session.deliver(message(0, 'x'.repeat(1000))), { code: 'E_UNREACHABLE' });
  for (let id = 1; id <= 3; id += 1) void session.deliver(message(id));
  t.throws(() => session.deliver(message(4)), { code: 'E_UNREACHABLE' });
  t.same(session.end().map(({ message }) => message.id), [1, 2, 3]);
  t.equal(budget.bytes, 0);
  t.throws(() => session.deliver(message(5)), { code: 'E_NOT_FOUND' });
  t.end();
});

void t.test('it expires when its runtime has been away for its time, not before, and not when it is back', (t) => {
  const { session, clock, events } = setUp();
  const carrier = handCarrier();
  clock.advance(59_999);
  session.attach(carrier);
  session.flush();
  clock.advance(1e6);
  t.same(events, []);
  session.detach(handCarrier().link);
  t.equal(session.attached, true, 'another link that ends is not its own');
  session.detach(carrier.link);
  clock.advance(59_999);
  t.same(events, []);
  clock.advance(1);
  t.same(events, ['expired']);
  session.end();
  t.equal(clock.pending, 0);
  t.end();
});

void t.test('a link that turns out to be closed: the session is away, the message waits', (t) => {
  const { session } = setUp();
  const carrier = handCarrier();
  session.attach(carrier);
  session.flush();
  carrier.end();
  void session.deliver(message(1));
  t.equal(session.attached, false);
  const next = handCarrier();
  session.attach(next);
  session.flush();
  t.same(ids(next.sent), [1]);
  t.end();
});

void t.test('congestion is one promise for all senders, which settles when the link drains', async (t) => {
  const { session, clock, events } = setUp();
  const carrier = handCarrier();
  session.attach(carrier);
  session.flush();
  carrier.jam();
  const first = session.deliver(message(1));
  const second = session.deliver(message(2));
  t.ok(first instanceof Promise);
  t.equal(first, second);
  carrier.drain();
  await first;
  t.equal(clock.pending, 0);
  clock.advance(1e6);
  t.same(events, []);
  t.equal(session.deliver(message(3)), undefined);
});

void t.test('a receiver that takes nothing for five seconds is let go; senders go on; later messages wait for it', async (t) => {
  const { session, clock, events } = setUp();
  const carrier = handCarrier();
  session.attach(carrier);
  session.flush();
  carrier.jam();
  const held = session.deliver(message(1));
  clock.advance(4999);
  t.same(events, []);
  clock.advance(1);
  t.same(events, ['stalled']);
  await held;
  t.equal(session.attached, false);
  t.equal(session.deliver(message(2)), undefined);
});

void t.test('one that takes a little now and then is not, but not for ever', async (t) => {
  const { session, clock, events } = setUp();
  const carrier = handCarrier();
  session.attach(carrier);
  session.flush();
  carrier.jam();
  const held = session.deliver(message(1));
  for (let i = 0; i < 11; i += 1) { carrier.moved += 1; clock.advance(5000); }
  t.same(events, []);
  carrier.moved += 1;
  clock.advance(5000);
  t.same(events, ['stalled']);
  await held;
});
