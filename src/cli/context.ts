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
  /** A getter: creating the stream is slow, so it happens on first access. */
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  on(signal: EndingSignal, listener: () => void): unknown;
  exit(code: number): never;
}

/** The context of one run of a command. Created once per run, after the flags are parsed. */
export interface Context {
  readonly flags: GlobalFlags;
  readonly env: Environment;
  readonly output: Output;
  /** Returns stdin. Call it only to read: creating the stream is slow. */
  stdin(): NodeJS.ReadStream;
  readonly stdinIsTerminal: boolean;
  readonly places: Places;
  /** True if the command may prompt: a terminal is attached, and neither `--json` nor `--no-input` is given. */
  readonly interactive: boolean;
  /** Aborted with an `Interruption` by Ctrl-C, SIGTERM or the end of the terminal. */
  readonly signal: AbortSignal;
}

/** The error of a run that was ended by a signal. */
export class Interruption extends ProtoflyError {
  constructor(readonly by: EndingSignal) {
    super('E_ABORTED', by === 'SIGINT' ? 'interrupted' : `ended by ${by}`);
  }
}

export const isInterruption = (thrown: unknown): thrown is Interruption => thrown instanceof ProtoflyError && 'by' in thrown;

/**
 * Time during which a second signal counts as the same one, in milliseconds. `npx` and `timeout` forward a signal
 * that the process has received already.
 */
const SAME_SIGNAL_MS = 500;

/** The first signal aborts. A later signal exits the process at once. */
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

/** @throws ProtoflyError `E_USAGE` for an invalid profile name */
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

/**
 * Checks that the profile exists. For commands that only read: a profile that was never used is a typing error.
 * @throws ProtoflyError `E_NOT_FOUND`
 */
export const checkProfile = ({ flags, places }: Context): void => {
  if (profileExists(flags.profile, places)) return;
  throw new ProtoflyError('E_NOT_FOUND', `there is no profile ${flags.profile}`, { hint: `make it: protofly --profile ${flags.profile} runtime start` });
};
