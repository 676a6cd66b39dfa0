import type { RuntimeName } from './settings.js';
import type { World } from './world.js';

/** Time without a take after which every wait has ended, in milliseconds: for a resend, a mailbox retry, or giving up a flow. */
const PATIENCE_MS = 400_000;
/** Time until the next session of a receiver, in milliseconds. Then the node learns of mail whose receipt was lost. */
const SESSION_MS = 100_000;
/**
 * Maximum time for which a copy of an answered message can be in flight, in milliseconds. Mail is offered again
 * after 30 s, a message is sent again after 24 s.
 */
const COPIES_MS = 35_000;

/** Repairs everything, makes programs take everything, and waits until nothing moves. @returns the time of the repair */
export const heal = async (world: World): Promise<number> => {
  const { clock, ledger } = world;
  await repair(world);
  const healed = clock.now();
  ledger.note(() => 'everything is repaired');
  let taken = takesOf(world);
  for (let passed = 0, since = 0; since < PATIENCE_MS && !isDone(world) && !world.isStuck;) {
    const step = passed < 20_000 ? 500 : passed < 120_000 ? 2000 : 10_000;
    await world.pass(step);
    passed += step;
    since = takesOf(world) > taken ? 0 : since + step;
    taken = takesOf(world);
    if (passed === SESSION_MS && world.node.mail > 0) renew(world);
    await settle(world);
  }
  for (let passed = 0; passed < COPIES_MS && !world.isStuck; passed += 1000) {
    await world.pass(1000);
    await settle(world);
  }
  return healed;
};

const repair = async (world: World): Promise<void> => {
  const names = [...world.runtimes.keys()];
  for (const party of [world.node, ...world.runtimes.values()]) {
    if (party.machine.isStopped) party.machine.goOn();
    party.disk.become('good');
  }
  world.node.start();
  await world.turn();
  while (world.arriveLate());
  for (const name of world.lanes) {
    const [x, y] = name.split('-') as [RuntimeName, RuntimeName];
    if (world.lane(name)?.up === false && x in PEERS && y in PEERS) world.cut(x, y, 'lost');
  }
  for (const name of names) world.come(name);
  for (const runtime of world.runtimes.values()) if (!runtime.hasProgram) runtime.attach('eager');
  await settle(world);
};

const renew = (world: World): void => {
  for (const name of world.runtimes.keys()) {
    world.leave(name);
    world.come(name);
  }
};

const PEERS: Readonly<Record<RuntimeName, true>> = { a: true, a2: true, b: true, c: true };

/** Lets everything arrive and be taken, until nothing more follows. */
const settle = async (world: World): Promise<void> => {
  for (let round = 0; round < 20; round += 1) {
    const before = takesOf(world);
    await world.flow();
    for (const runtime of world.runtimes.values()) runtime.take(Infinity);
    await world.flow();
    if (takesOf(world) === before) return;
  }
};

const takesOf = ({ ledger }: World): number => ledger.sent.reduce((sum, { takes }) => sum + takes.length, 0);

const isDone = ({ ledger, node, runtimes }: World): boolean =>
  node.mail === 0 && [...runtimes.values()].every(({ waiting }) => waiting === 0)
  && ledger.sent.every(({ asks, isOrphan, answers }) => !asks || isOrphan || answers.length > 0);
