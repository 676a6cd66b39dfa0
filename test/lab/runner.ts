import { copiesMs } from './copies.js';
import { inflict, type World } from './faults.js';
import { Network, SIDES } from './network.js';
import { Parties, USER } from './parties.js';
import type { Path, Scenario } from './scenario.js';
import { Traffic, type Tally } from './traffic.js';
import { until } from '../support/until.js';

export interface Result {
  readonly name: string;
  readonly what: string;
  /** Deviations from the expected result, in words; empty if the scenario passed. */
  readonly objections: readonly string[];
  readonly tallies: readonly Tally[];
  /** Facts about the first connection. */
  readonly setUp?: { readonly ms: number; readonly pair: string };
  /** Time from the fault to the new connection, in milliseconds. */
  readonly healedMs?: number;
  /** The verdict of `p2p doctor`, if it was asked. */
  readonly doctor?: string;
  readonly seconds: number;
  /** Logs of the runtimes, if there are objections. */
  readonly logs?: Readonly<Record<string, string>>;
}

interface Connection {
  readonly status: string;
  readonly setupMs?: number;
  readonly pair?: { readonly local: string; readonly remote: string };
}

/** Maximum duration of a scenario, in milliseconds. */
const LIMIT_MS = 180_000;

const pairOf = ({ pair }: Connection): string => (pair === undefined ? '' : `${pair.local} - ${pair.remote}`);

/** Returns the live connection from a to b. */
const liveConnection = async (parties: Parties): Promise<Connection | undefined> => {
  const { code, stdout } = await parties.run('a', ['p2p', 'list', '--json']);
  return code === 0 ? (JSON.parse(stdout) as Connection[]).find(({ status }) => status === 'live') : undefined;
};

/** Returns the path of a live connection; a relay is named in its pair. */
const pathOf = (connection: Connection | undefined): Path =>
  connection === undefined ? 'msg-node' : / relay\b/.test(pairOf(connection)) ? 'relay' : 'direct';

/** Returns the verdict of `p2p doctor`. */
const askDoctor = async (parties: Parties): Promise<string> => {
  const { stdout, stderr } = await parties.run('a', ['p2p', 'doctor', `${USER.b}/in`, '--json']);
  const { verdict } = JSON.parse(stdout || '{}') as { verdict?: string };
  return verdict ?? `nothing: ${(stdout || stderr).trim()}`;
};

const judgeTally = (tally: Tally, { standStillMs, path, traffic, mayRepeat = 0 }: Scenario): string[] => {
  const { lost, repeated, reordered, refused, refusedAndReceived, stoodStillMs, stretches, senderErrors } = tally;
  const direct = stretches.some(({ via }) => via === 'p2p');
  return [
    ...(lost > 0 ? [`${String(lost)} lost`] : []),
    ...(repeated > mayRepeat ? [`${String(repeated)} repeated`] : []),
    ...(reordered > 0 ? [`${String(reordered)} reordered`] : []),
    ...(refused > 0 ? [`${String(refused)} refused`] : []),
    ...(refusedAndReceived > 0 ? [`${String(refusedAndReceived)} refused and received all the same`] : []),
    ...(traffic.retry !== true && senderErrors.length > 0 ? [`the sender ended with ${senderErrors.join('; ')}`] : []),
    ...(stoodStillMs > standStillMs ? [`stood still for ${String(stoodStillMs)} ms, more than ${String(standStillMs)}`] : []),
    ...(direct === (path === 'msg-node') ? [direct ? 'messages went over P2P' : 'no message went over P2P'] : []),
  ];
};

/** The notes of a running scenario. */
interface Notes {
  readonly objections: string[];
  tallies: Tally[];
  setUp?: { ms: number; pair: string };
  healedMs?: number;
  doctor?: string;
}

/** Examines the state before the fault: the connection, and the doctor's verdict. */
const examine = async ({ parties }: World, scenario: Scenario, notes: Notes): Promise<void> => {
  if (scenario.path !== 'msg-node') {
    const { code, stdout, stderr } = await parties.run('a', ['p2p', 'connect', `${USER.b}/in`, '--timeout', '25s', '--json']);
    const connection = code === 0 ? JSON.parse(stdout) as Connection : undefined;
    if (connection !== undefined) notes.setUp = { ms: Math.round(connection.setupMs ?? 0), pair: pairOf(connection) };
    const path = pathOf(connection);
    if (path !== scenario.path) notes.objections.push(`the connection is ${path}, not ${scenario.path}${code === 0 ? '' : `: ${(stdout || stderr).trim()}`}`);
  }
  if (scenario.doctor === undefined) return;
  notes.doctor = await askDoctor(parties);
  if (notes.doctor !== scenario.doctor) notes.objections.push(`the doctor says ${notes.doctor}, not ${scenario.doctor}`);
};

/** The signals of a running scenario. */
interface Course {
  /** Aborts when the scenario is over, even if it ended early. */
  readonly over: AbortSignal;
  /** Called when everything has been sent and received, and only copies may still come. */
  readonly onQuiet: () => void;
}

const play = async (world: World, scenario: Scenario, notes: Notes, { over, onQuiet }: Course): Promise<void> => {
  const { parties } = world;
  await parties.startTurn();
  await parties.startDomain(world.turn);
  await Promise.all([parties.startRuntime('a'), parties.startRuntime('b')]);
  // If no connection is possible, messages needn't wait for that result.
  const examined = examine(world, scenario, notes);
  if (scenario.path !== 'msg-node') await examined;
  const flows = (scenario.both === true ? SIDES : SIDES.slice(0, 1)).map((from) => new Traffic({ parties, signal: over }, { from, spec: scenario.traffic }));
  const running = Promise.all(flows.map((flow) => flow.run()));
  // The first failure ends the scenario; then nobody awaits the other promise.
  for (const waiting of [examined, running]) waiting.catch(() => undefined);
  if (scenario.fault !== undefined) {
    await flows[0]!.reached(scenario.traffic.count / 4);
    await inflict(world, scenario.fault, over);
    const mended = Date.now();
    if (scenario.path !== 'msg-node') {
      await until('a direct connection again', async () => (await liveConnection(parties)) !== undefined, scenario.healMs ?? 30_000)
        .then(() => { notes.healedMs = Date.now() - mended; }, (error: unknown) => notes.objections.push((error as Error).message));
    }
  }
  await running;
  await examined;
  onQuiet();
  notes.tallies = await Promise.all(flows.map((flow) => flow.settle(copiesMs(scenario, flow.stoodStillMs))));
  for (const tally of notes.tallies) notes.objections.push(...judgeTally(tally, scenario));
};

/**
 * Plays one scenario in a world of its own, and removes the world before it settles. Never rejects.
 * @param onQuiet called when everything has been sent and received, and only copies may still come: another
 *   scenario may begin
 */
export const runScenario = async (scenario: Scenario, interrupted: AbortSignal, onQuiet: () => void): Promise<Result> => {
  const started = Date.now();
  const ended = new AbortController();
  const over = AbortSignal.any([interrupted, AbortSignal.timeout(LIMIT_MS), ended.signal]);
  const notes: Notes = { objections: [], tallies: [] };
  let network: Network | undefined;
  let parties: Parties | undefined;
  let logs: Record<string, string> | undefined;
  try {
    network = await Network.make(scenario.name, { a: scenario.a, b: scenario.b });
    parties = new Parties(network);
    const stop = new Promise<never>((_, reject) => {
      over.addEventListener('abort', () => { reject(new Error(interrupted.aborted ? 'interrupted' : `not done within ${String(LIMIT_MS / 1000)} s`)); }, { once: true });
    });
    await Promise.race([play({ network, parties, turn: scenario.turn === true }, scenario, notes, { over, onQuiet }), stop]);
  } catch (error) {
    notes.objections.push((error as Error).message);
  }
  // Stops the traffic, so that it starts nothing in a world that is being removed.
  ended.abort();
  // Runs each step on its own: a step may remove what a failed one left.
  const last = async (step: () => Promise<void> | void): Promise<void> => {
    try {
      await step();
    } catch (error) {
      notes.objections.push(`the lab could not be removed: ${(error as Error).message}`);
    }
  };
  if (notes.objections.length > 0 && !interrupted.aborted) await last(async () => { logs = await parties?.logs(); });
  await last(async () => { notes.objections.push(...(await parties?.close() ?? [])); });
  await last(async () => { await network?.remove(); });
  await last(() => { parties?.remove(); });
  return { name: scenario.name, what: scenario.what, ...notes, ...(logs === undefined ? {} : { logs }), seconds: (Date.now() - started) / 1000 };
};
