import { isatty } from 'node:tty';
import { ProtoflyError } from '../protocol/index.js';
import { Output } from './io/output.js';
import { profileExists, profilePlaces, type Environment, type Places } from './paths.js';

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
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
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
  /** Aborted with `E_ABORTED` by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}

/** The signal that ended a run by Ctrl-C or SIGTERM, for its exit code. */
export class Interruption extends ProtoflyError {
  constructor(readonly by: NodeJS.Signals) {
    super('E_ABORTED', by === 'SIGINT' ? 'interrupted' : `ended by ${by}`);
  }
}

export const isInterruption = (thrown: unknown): thrown is Interruption => thrown instanceof ProtoflyError && 'by' in thrown;

const hasColour = (env: Environment): boolean =>
  isatty(1) && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';

/** @throws ProtoflyError `E_USAGE` for a profile name that can't be one */
export const createContext = (flags: GlobalFlags, around: Surroundings): Context => {
  const { env, stdout, stderr } = around;
  const stdinIsTerminal = isatty(0);
  const controller = new AbortController();
  const interrupt = (by: NodeJS.Signals): void => {
    if (controller.signal.aborted) around.exit(by === 'SIGINT' ? 130 : 143);
    controller.abort(new Interruption(by));
  };
  around.on('SIGINT', interrupt);
  around.on('SIGTERM', interrupt);
  const interactive = !flags['no-input'] && !flags.json && stdinIsTerminal && isatty(2);
  return {
    flags, env, interactive, stdinIsTerminal,
    stdin: () => around.stdin,
    output: new Output({ stdout, stderr }, { json: flags.json, quiet: flags['no-input'] || !isatty(2), colour: !flags['no-input'] && hasColour(env) }),
    places: profilePlaces(flags.profile, env),
    signal: controller.signal,
  };
};

/** For commands that only read: a profile that was never used is a mistyped one. @throws ProtoflyError `E_NOT_FOUND` */
export const checkProfile = ({ flags, places }: Context): void => {
  if (profileExists(flags.profile, places)) return;
  throw new ProtoflyError('E_NOT_FOUND', `there is no profile ${flags.profile}`, { hint: `make it: protofly --profile ${flags.profile} runtime start` });
};
