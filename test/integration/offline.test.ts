import t, { type Test } from 'tap';
import type { DomainServer } from '../../src/domain-server/index.js';
import { systemClock } from '../../src/protocol/index.js';
import type { Hyperty, Receipt } from '../../src/program/index.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import type { Store } from '../../src/store/index.js';
import { memoryStore } from '../../src/store/index.js';
import { DomainClient } from '../support/domain-client.js';
import { temporaryFolder } from '../support/domain-server.js';
import { startDomain, startTestRuntime, until, type TestRuntime } from '../support/nodes.js';

interface Scene {
  server: DomainServer;
  readonly url: string;
  readonly domainStore: Store;
  readonly chat: Hyperty;
  readonly alice: TestRuntime;
  readonly bobStore: Store;
  readonly startBob: () => Promise<TestRuntime>;
}

const mailOf = (server: DomainServer): { messages: number; bytes: number; delivered: number; expired: number; refused: number } => server.status()['mailbox'] as never;
const outboxOf = ({ runtime }: TestRuntime): { messages: number; bytes: number } => runtime.status()['outbox'] as never;

/** A domain whose sessions end soon after their runtime has gone, alice with the hyperty `chat`, and bob's `in`, with bob gone. */
const withBobAway = async (t: Test, { p2p = false, domainStore = memoryStore() }: { p2p?: boolean; domainStore?: Store } = {}): Promise<Scene> => {
  const { server, url } = await startDomain(t, 'localhost', { sessionTtlMs: 500 }, domainStore);
  const bobStore = memoryStore();
  const startBob = (): Promise<TestRuntime> => startTestRuntime(t, { domainUrl: url, user: 'bob', p2p }, bobStore);
  const [alice, bob] = await Promise.all([startTestRuntime(t, { domainUrl: url, user: 'alice', p2p }), startBob()]);
  const chat = await alice.node.register('chat');
  await bob.node.register('in');
  await chat.send('bob/in', 'known');
  await bob.runtime.stop();
  return { server, url, domainStore, chat, alice, bobStore, startBob };
};

/** What comes for bob from now on; what waited first. */
const read = async ({ node }: TestRuntime): Promise<unknown[]> => {
  const got: unknown[] = [];
  const inbox = await node.register('in');
  await inbox.receive(({ value }) => { got.push(value); });
  return got;
};

const sendAll = (chat: Hyperty, values: readonly number[]): Promise<Receipt[]> => Promise.all(values.map((value) => chat.send('bob/in', value, { store: true })));
const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index);

t.test('MAL-1 MAL-3 mail for a runtime that is away is on the domain\'s disk, and comes in order, once, before what is new', async (t) => {
  const { server, chat, startBob } = await withBobAway(t);
  const receipts = await sendAll(chat, upTo(50));
  t.ok(receipts.every(({ state, stored }) => state === 'queued' && stored === 'domain'));
  t.match(mailOf(server), { messages: 50 });
  await t.rejects(chat.send('bob/in', 'not to be kept'), { code: 'E_UNAVAILABLE' });
  const bob = await startBob();
  t.match(await chat.send('bob/in', 51, { store: true }), { state: 'delivered' });
  const got = await read(bob);
  await until(() => got.length >= 52, 'all of it');
  t.same(got, ['known', ...upTo(51)]);
  await until(() => mailOf(server).messages === 0, 'the receipts have emptied the mailbox');
  t.match(mailOf(server), { bytes: 0, delivered: 50, expired: 0, refused: 0 });
});
