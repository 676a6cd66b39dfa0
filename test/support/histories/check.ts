import type { Answer, Ledger, Sent } from './ledger.js';
import type { World } from './world.js';

/** Maximum time for an answer when nothing is in the way, in milliseconds. A resend may take 24 s. */
const DIRECT_MS = 40_000;
/**
 * The same for a stored message: it may also wait for the mailbox, and for room at its receiver, 30 s for each
 * message of the same flow.
 */
const STORED_MS = 100_000;
const TURN_MS = 31_000;

/** Returns the promises (docs/reliability.md) that a history broke. @param healed time at which everything had been repaired */
export const check = (world: World, healed: number): readonly string[] => {
  const { ledger } = world;
  if (world.isStuck) return [...ledger.faults, 'it goes round in circles: thousands of sends within one turn of the event loop'];
  const groups = grouped(ledger.sent, ({ by, to, id }) => `${by} ${to} ${String(id)}`);
  const sharesId = ({ by, to, id }: Sent): boolean => groups.get(`${by} ${to} ${String(id)}`)!.length > 1;
  return [
    ...ledger.faults,
    ...ledger.sent.flatMap((sent) => ofOne(world, sent, sharesId(sent))),
    ...[...groups.values()].filter(({ length }) => length > 1).flatMap(ofSeveral),
    ...ledger.sent.flatMap((sent) => ofTime(sent, healed, ledger.sent.filter(({ to }) => to === sent.to).length)),
    ...inOrder(ledger, sharesId),
    ...leftOver(world),
  ];
};

const grouped = (all: readonly Sent[], nameOf: (sent: Sent) => string): ReadonlyMap<string, readonly Sent[]> => {
  const groups = new Map<string, Sent[]>();
  for (const sent of all) groups.set(nameOf(sent), [...(groups.get(nameOf(sent)) ?? []), sent]);
  return groups;
};

const says = ({ answers }: Sent, ...states: readonly Answer['state'][]): boolean => answers.some(({ state }) => states.includes(state));
const named = (sent: Sent): string => `#${String(sent.n)} (${sent.by} to ${sent.to}${sent.store ? ', stored' : ''})`;

/** True if the message's time was up before it could be taken. */
const isOver = ({ ledger, clock }: World, { ttl, at }: Sent): boolean => ttl !== undefined && clock.now() - at + ledger.shiftsSince(at) >= ttl * 1000;

/** Checks the promises for one message. @param shares true if other messages have its id, so that answers are ambiguous */
const ofOne = (world: World, sent: Sent, shares: boolean): readonly string[] => {
  const faults: string[] = [];
  if (sent.takes.length > 1 && sent.excuse === undefined) faults.push(`${named(sent)} was taken ${String(sent.takes.length)} times`);
  if (shares) return faults;
  if (sent.takes.length === 0 && says(sent, 'delivered')) faults.push(`${named(sent)} is said to be delivered, and was never taken`);
  if (sent.takes.length === 0 && says(sent, 'queued') && !isOver(world, sent)) {
    if (!sent.refusals.some((code) => code !== 429)) faults.push(`${named(sent)} is said to be queued, and was never taken`);
    else if (world.node.refused + [...world.runtimes.values()].reduce((sum, { refused }) => sum + refused, 0) === 0) faults.push(`${named(sent)} was queued, then refused, and nobody has counted it`);
  }
  if (sent.takes.length > 0 && says(sent, 'failed') && sent.excuse === undefined) faults.push(`${named(sent)} is said to have failed, and was taken`);
  if (sent.asks && !sent.isOrphan && sent.answers.length === 0) faults.push(`${named(sent)} was never answered`);
  return faults;
};

/** Checks messages that share one id. */
const ofSeveral = (group: readonly Sent[]): readonly string[] => {
  const answers = group.flatMap((sent) => sent.answers);
  const count = (state: Answer['state']): number => answers.filter((answer) => answer.state === state).length;
  const taken = group.filter(({ takes }) => takes.length > 0).length;
  const names = group.map(named).join(', ');
  const asking = group.filter(({ asks, isOrphan }) => asks && !isOrphan).length;
  const faults: string[] = [];
  if (answers.length < asking) faults.push(`of ${names}, which share an id, ${String(asking - answers.length)} were never answered`);
  if (count('delivered') > 0 && taken === 0) faults.push(`one of ${names}, which share an id, is said to be delivered, and none was taken`);
  if (count('failed') > 0 && taken === group.length && group.every(({ excuse }) => excuse === undefined)) faults.push(`one of ${names}, which share an id, is said to have failed, and all were taken`);
  return faults;
};

/** Checks that no answer takes too long. @param count number of messages for the same receiver */
const ofTime = (sent: Sent, healed: number, count: number): readonly string[] => {
  const [first] = sent.answers;
  if (first === undefined) return [];
  const waited = first.at - Math.max(sent.at, healed);
  return waited > (sent.store ? STORED_MS + count * TURN_MS : DIRECT_MS) ? [`${named(sent)} was answered ${String(waited / 1000)} s after nothing was in its way any more`] : [];
};

/**
 * Checks that messages of one runtime to one receiver are taken in order: stored ones and others separately.
 * @param sharesId true if a message's answers are ambiguous
 */
const inOrder = (ledger: Ledger, sharesId: (sent: Sent) => boolean): readonly string[] => {
  // No order is promised for messages that failed or may have, nor for those orphaned by their sender's end.
  const lives = new Map(ledger.sent.map(({ by, life }) => [by, life]));
  const counted = ledger.sent.filter((sent) => (sent.life === lives.get(sent.by) || !sharesId(sent)) && sent.takes.length > 0 && !sent.isOrphan && !sent.isUnnoted && sent.excuse === undefined && !says(sent, 'failed', 'unknown') && !isLateMail(ledger, sent));
  return [...grouped(counted, ({ by, to, store }) => `${by} to ${to}${store ? ', stored' : ''}`)].flatMap(([name, several]) => {
    const order = several.toSorted((one, other) => one.takes[0]!.place - other.takes[0]!.place);
    const wrong = order.find((sent, index) => index > 0 && sent.n < order[index - 1]!.n);
    return wrong === undefined ? [] : [`out of order (${name}): ${order.map(({ n }) => `#${String(n)}`).join(' ')}`];
  });
};

/** True if the message was taken after its time: then nobody waited for it any more. */
const isLateMail = (ledger: Ledger, { ttl, at, takes }: Sent): boolean => ttl !== undefined && takes[0]!.at - at + ledger.shiftsSince(at) >= ttl * 1000;

const leftOver = ({ node, runtimes }: World): readonly string[] => [
  ...(node.mail > 0 ? [`${String(node.mail)} messages stay in the mailbox`] : []),
  ...[...runtimes.values()].flatMap(({ name, waiting }) => (waiting > 0 ? [`${String(waiting)} messages stay on the disk of ${name}`] : [])),
];
