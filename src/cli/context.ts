import { isatty } from 'node:tty';
import { ProtoflyError, systemClock, type Clock } from '../protocol/index.js';
import { EXIT_OF_SIGNAL, type EndingSignal } from './exit-codes.js';
import { Output } from './io/output.js';
import { profileExists, profilePlaces, type Environment, type Places } from '../client/paths.js';

/** The flags that every command takes. */
export interface GlobalFlags {
  readonly profile: string;
  readonly json: boolean;
  readonly 'no-input': boolean;
  readonly verbose: boolean;
}

/** The parts of `process` that a command works with. */
export interface Surroundings {
  readonly env: Environment;
  /** A stream is made when it is first asked for: that costs time. */
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  on(signal: EndingSignal, listener: () => void): unknown;
  exit(code: number): never;
}

/** What one run of a command works with. Made once a run, after its flags are known. */
export interface Context {
  readonly flags: GlobalFlags;
  readonly env: Environment;
  readonly output: Output;
  /** Not touched before it is read from: making the stream costs time. */
  stdin(): NodeJS.ReadStream;
  readonly stdinIsTerminal: boolean;
  readonly places: Places;
  /** Whether a person can be asked. */
  readonly interactive: boolean;
  /** Aborted with an `Interruption` by Ctrl-C, SIGTERM or the end of the terminal. */
  readonly signal: AbortSignal;
}

/** A signal has ended the run. */
export class Interruption extends ProtoflyError {
  constructor(readonly by: EndingSignal) {
    super('E_ABORTED', by === 'SIGINT' ? 'interrupted' : `ended by ${by}`);
  }
}

export const isInterruption = (thrown: unknown): thrown is Interruption => thrown instanceof ProtoflyError && 'by' in thrown;

/** For so long after a signal another one counts as the same, in milliseconds: `npx` and `timeout` pass on what has come already. */
const SAME_SIGNAL_MS = 500;

/** The first signal aborts; a later one ends the process at once. */
const interruptions = (around: Surroundings, clock: Clock): AbortSignal => {
  const controller = new AbortController();
  let state: 'running' | 'interrupted' | 'overdue' = 'running';
  const interrupt = (by: EndingSignal): void => {
    if (state === 'overdue') around.exit(EXIT_OF_SIGNAL[by]);
    if (state === 'interrupted') return;
    state = 'interrupted';
    clock.setTimeout(() => { state = 'overdue'; }, SAME_SIGNAL_MS);
    controller.abort(new Interruption(by));
  };
  for (const by of Object.keys(EXIT_OF_SIGNAL) as EndingSignal[]) around.on(by, () => { interrupt(by); });
  return controller.signal;
};

const hasColour = (env: Environment): boolean =>
  isatty(1) && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';

/** @throws ProtoflyError `E_USAGE` for a profile name that can't be one */
export const createContext = (flags: GlobalFlags, around: Surroundings, clock: Clock = systemClock): Context => {
  const { env, stdout, stderr } = around;
  const stdinIsTerminal = isatty(0);
  const interactive = !flags['no-input'] && !flags.json && stdinIsTerminal && isatty(2);
  return {
    flags, env, interactive, stdinIsTerminal,
    stdin: () => around.stdin,
    output: new Output({ stdout, stderr }, { json: flags.json, quiet: flags['no-input'] || !isatty(2), colour: !flags['no-input'] && hasColour(env) }),
    places: profilePlaces(flags.profile, env),
    signal: interruptions(around, clock),
  };
};

/** For commands that only read: a profile that was never used is a mistyped one. @throws ProtoflyError `E_NOT_FOUND` */
export const checkProfile = ({ flags, places }: Context): void => {
  if (profileExists(flags.profile, places)) return;
  throw new ProtoflyError('E_NOT_FOUND', `there is no profile ${flags.profile}`, { hint: `make it: protofly --profile ${flags.profile} runtime start` });
};
