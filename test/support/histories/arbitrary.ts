import fc from 'fast-check';
import type { Act } from './acts.js';
import type { History } from './history.js';
import type { Pace } from './program.js';
import type { Wishes } from './runtime.js';
import { given, type Limits, type PartyName, type RuntimeName, type Settings } from './settings.js';
import type { LaneName } from './world.js';

/** The emphasis of a history. */
export type Theme = 'everything' | 'traffic' | 'full' | 'mail' | 'streams' | 'time' | 'disks';
export const THEMES: readonly Theme[] = ['everything', 'traffic', 'full', 'mail', 'streams', 'time', 'disks'];

const maybe = <T>(arbitrary: fc.Arbitrary<T>, freq = 2): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined, freq });
const among = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

const limits: fc.Arbitrary<Limits> = fc.record({
  inboxMessages: maybe(among(1, 2, 4)),
  inboxBytes: maybe(among(1200, 3000)),
  inboxStalled: maybe(among(0, 1, 3)),
  inboxStallMs: maybe(among(500, 5000)),
  streams: maybe(among(4, 6)),
  outboxMessages: maybe(among(1, 2, 4)),
  outboxBytes: maybe(among(1500, 4000)),
  outboxPerPair: maybe(among(1, 2, 4)),
  outboxUnderWay: maybe(among(1, 2, 4)),
  window: maybe(among(300, 1000)),
  mailPerReceiver: maybe(among(1, 2, 4)),
  mailBytes: maybe(among(1500, 4000)),
  mailRetryMs: maybe(among(5000)),
  laneRoom: maybe(among(1, 3)),
}).map((all) => given<Limits>(all));

const settings: fc.Arbitrary<Settings> = fc.record({
  world: fc.oneof(
    { weight: 5, arbitrary: fc.constant({ runtimes: ['a', 'b'] as RuntimeName[], twins: false }) },
    { weight: 1, arbitrary: fc.constant({ runtimes: ['a', 'b', 'c'] as RuntimeName[], twins: false }) },
    { weight: 1, arbitrary: fc.constant({ runtimes: ['a', 'a2', 'b'] as RuntimeName[], twins: false }) },
    { weight: 2, arbitrary: fc.constant({ runtimes: ['a', 'a2', 'b'] as RuntimeName[], twins: true }) },
  ),
  asks: fc.boolean(), reclaims: fc.boolean(), abandons: fc.boolean(),
  limits: fc.oneof({ weight: 1, arbitrary: fc.constant({}) }, { weight: 3, arbitrary: limits }),
}).map(({ world, ...others }) => ({ ...world, ...others }));

/** Generates acts of one world. Acts of the theme have more weight than others. */
const actsOf = ({ runtimes, twins }: Pick<Settings, 'runtimes' | 'twins'>, theme: Theme): fc.Arbitrary<Act> => {
  const receivers = runtimes.filter((name) => !name.startsWith('a'));
  const senders = runtimes.filter((name) => name.startsWith('a'));
  const pair = fc.oneof(
    { weight: 9, arbitrary: fc.tuple(among(...senders), among(...receivers)) },
    // An answer to twins would have to be for one of them.
    { weight: twins ? 0 : 2, arbitrary: fc.tuple(among(...receivers), fc.constant<RuntimeName>('a')) },
  );
  const runtime = among(...runtimes);
  const receiver = fc.oneof({ weight: 4, arbitrary: among(...receivers) }, { weight: 1, arbitrary: runtime });
  const party = among<PartyName>(...runtimes, 'node');
  const lane = among<LaneName>(...lanesOf(runtimes, receivers, senders));
  // The node gives mail once per session. It relies on lossy connections to end.
  const lossy = among<LaneName>(...lanesOf(runtimes, receivers, senders).filter((name) => !name.startsWith('node')));
  // A node may hear twice only what its sender sent twice. Otherwise a refusal of one copy would say nothing of
  // the other.
  const repeating = among<LaneName>(...lanesOf(runtimes, receivers, senders).filter((name) => !name.endsWith('node')));
  const link = fc.tuple(among(...senders), among(...receivers));
  const wishes = wishesOf(theme);
  const about = (...themes: readonly Theme[]): number => (theme === 'everything' ? 2 : themes.includes(theme) ? 4 : 1);
  const act = (weight: number, arbitrary: fc.Arbitrary<Act>) => ({ weight, arbitrary });
  return fc.oneof(
    act(16, fc.tuple(pair, wishes, fc.integer({ min: 1, max: 4 })).map(([[by, to], how, count]) => ['send', by, to, how, count])),
    act(about('traffic'), fc.tuple(pair, fc.integer({ min: 0, max: 8 }), wishes).map(([[by, to], after, how]) => ['sendAfter', by, to, after, how])),
    act(16, fc.tuple(lane, fc.integer({ min: 1, max: 3 })).map(([name, count]) => ['arrive', name, count])),
    act(10, fc.constant(['flow'])),
    act(2 * about('traffic'), lossy.map((name) => ['lose', name, 1])),
    act(about('traffic'), lossy.map((name) => ['lose', name, 9])),
    act(about('traffic'), lossy.map((name) => ['hold', name])),
    act(2 * about('traffic'), fc.constant(['late'])),
    act(about('traffic'), repeating.map((name) => ['repeat', name])),
    act(4, among(10, 60, 300, 1000, 2500, 4000, 12_000).map((time) => ['wait', time])),
    act(2, among(31_000, 130_000).map((time) => ['wait', time])),
    act(4, among(60, 1500, 4000, 31_000).map((time) => ['run', time])),
    act(about('streams'), fc.tuple(link, fc.integer({ min: 1, max: theme === 'streams' ? 8 : 3 })).map(([[by, to], count]) => ['gaps', by, to, count])),
    act(theme === 'streams' ? 1 : 0, link.map(([by, to]) => ['gaps', by, to, 34])),
    act(4, link.map(([x, y]) => ['connect', x, y])),
    act(2 * about('traffic'), fc.tuple(link, among('lost' as const, 'late' as const)).map(([[x, y], how]) => ['cut', x, y, how])),
    act(about('traffic'), link.map(([x, y]) => ['close', x, y])),
    act(2 * about('mail', 'full'), fc.tuple(receiver, among('lost' as const, 'late' as const)).map(([name, how]) => ['leave', name, how])),
    act(6, runtime.map((name) => ['come', name])),
    act(about('traffic'), runtime.map((name) => ['endStub', name])),
    act(about('mail'), receiver.map((name) => ['endSession', name])),
    act(about('streams', 'full', 'disks'), runtime.map((name) => ['kill', name])),
    act(about('mail', 'disks'), fc.constant(['killNode'])),
    act(3, fc.constant(['startNode'])),
    act(theme === 'disks' ? 6 : theme === 'everything' ? 2 : 0, fc.tuple(party, among('slow' as const, 'failing' as const, 'good' as const)).map(([name, state]) => ['disk', name, state])),
    act(theme === 'time' ? 4 : theme === 'everything' ? 1 : 0, fc.tuple(party, among(-3_600_000, -20_000, 20_000, 300_000, 3_600_000)).map(([name, by]) => ['setClock', name, by])),
    act(theme === 'time' ? 3 : theme === 'everything' ? 1 : 0, party.map((name) => ['stop', name])),
    act(theme === 'time' ? 4 : theme === 'everything' ? 1 : 0, party.map((name) => ['goOn', name])),
    act(theme === 'time' ? 2 : theme === 'everything' ? 1 : 0, fc.tuple(party, among(5000, 90_000, 600_000)).map(([name, time]) => ['sleep', name, time])),
    act(theme === 'time' ? 2 : theme === 'everything' ? 1 : 0, among(5000, 150_000, 600_000).map((time) => ['stall', time])),
    act(6, fc.tuple(receiver, among<Pace>('eager', 'slow', 1, 2, 10)).map(([name, pace]) => ['attach', name, pace])),
    act(2 * about('full'), receiver.map((name) => ['detach', name])),
    act(6, fc.tuple(receiver, fc.integer({ min: 1, max: 5 })).map(([name, count]) => ['take', name, count])),
  );
};

const lanesOf = (runtimes: readonly RuntimeName[], receivers: readonly RuntimeName[], senders: readonly RuntimeName[]): readonly LaneName[] => [
  ...runtimes.flatMap((name) => [`${name}-node`, `node-${name}`] as const),
  ...senders.flatMap((x) => receivers.flatMap((y) => [`${x}-${y}`, `${y}-${x}`] as const)),
];

const wishesOf = (theme: Theme): fc.Arbitrary<Wishes> => fc.record({
  store: fc.oneof({ weight: theme === 'traffic' ? 1 : 3, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(undefined) }),
  ttl: maybe(among(2, 5, 60, 3600), 1),
  p2p: fc.oneof({ weight: 1, arbitrary: fc.constant(false as const) }, { weight: 4, arbitrary: fc.constant(undefined) }),
  size: maybe(among(400, 1000, 2500), 1),
  batches: among(true, undefined),
  quiet: fc.oneof({ weight: 1, arbitrary: fc.constant(true) }, { weight: 9, arbitrary: fc.constant(undefined) }),
  idOf: fc.oneof({ weight: 1, arbitrary: fc.integer({ min: 1, max: 12 }) }, { weight: 11, arbitrary: fc.constant(undefined) }),
}).map(({ store, ttl, ...others }) => given<Wishes>(store === true ? { store, ttl, ...others } : { ...others, quiet: undefined }));

/** Generates histories of one theme. */
export const historiesOf = (theme: Theme, maxActs = 60): fc.Arbitrary<History> =>
  settings.chain((world) => fc.array(actsOf(world, theme), { maxLength: maxActs, size: 'max' }).map((acts) => ({ settings: world, acts })));
