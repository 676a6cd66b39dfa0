import t from 'tap';
import { ProgramSendQueue } from '../../src/library/send-queue.js';
import { parseAddress, ProtoflyError, type Message } from '../../src/protocol/index.js';
import { turns } from '../support/manual-clock.js';

const alice = parseAddress('hyperty://example.com/alice');
const bob = parseAddress('hyperty://example.com/bob');
const message = (id: number): Message => ({ id, type: 'create', from: alice, to: bob, body: { value: id } });

/** A link with backpressure from every third message on, until it is released. */
const congested = () => {
  const sent: unknown[] = [];
  let relieve: (() => void) | undefined;
  const outlet = new ProgramSendQueue({ post: ({ id }) => {
    if (id === 13) throw new ProtoflyError('E_TOO_LARGE', 'too large');
    sent.push(id);
    return sent.length % 3 === 0 ? new Promise<void>((resolve) => { relieve = resolve; }) : undefined;
  } });
  return { outlet, sent, relieve: async () => { relieve?.(); await turns(2); } };
};

t.test('what a link doesn\'t take yet waits, in order, and goes when it does', async (t) => {
  const { outlet, sent, relieve } = congested();
  const done: number[] = [];
  for (let id = 1; id <= 8; id += 1) void outlet.send(message(id))?.then(() => { done.push(id); });
  t.same(sent, [1, 2, 3]);
  await relieve();
  t.same([sent, done], [[1, 2, 3, 4, 5, 6], [3, 4, 5]], 'who waits for congestion to end learns when his own message has gone');
  void outlet.send(message(9));
  await relieve();
  t.same(sent, [1, 2, 3, 4, 5, 6, 7, 8, 9], 'nothing overtakes what waits');
  t.same(done.sort(), [3, 4, 5, 6, 7, 8]);
});

t.test('a program that ignores what became of a message isn\'t ended by it', async (t) => {
  const { outlet, sent, relieve } = congested();
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => { unhandled.push(reason); };
  process.on('unhandledRejection', note);
  t.teardown(() => process.off('unhandledRejection', note));
  for (const id of [1, 2, 3, 13]) void outlet.send(message(id));
  await relieve();
  await new Promise((resolve) => { setImmediate(resolve); });
  t.same([sent, unhandled], [[1, 2, 3], []]);
});

t.test('what nobody wants any more isn\'t sent, what can\'t be is told', async (t) => {
  const { outlet, sent, relieve } = congested();
  for (const id of [1, 2, 3]) void outlet.send(message(id));
  void outlet.send(message(4), ({ id }) => id !== 4);
  const failed = t.rejects(outlet.send(message(13)) as Promise<void>, { code: 'E_TOO_LARGE' });
  void outlet.send(message(5), () => true);
  await relieve();
  await failed;
  t.same(sent, [1, 2, 3, 5]);
  t.throws(() => outlet.send(message(13)), { code: 'E_TOO_LARGE' }, 'at once where nothing waits');
});
