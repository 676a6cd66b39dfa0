import { hasSwitch, leadingWords, moveLeadingFlags } from './arguments.js';
import { asUnwritable, isClosedPipe, isUnwritable } from './io/stdout.js';
import { checkArguments } from './raw-arguments.js';

export interface RunOptions {
  /** Always prints stack traces, and never takes the short cut. */
  readonly development?: boolean;
}

const WORDS_OF_A_COMMAND = 2;

/** Resolves when the stream has accepted all writes and has emitted any error. */
const flushed = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.writableLength === 0) { setImmediate(resolve); return; }
    stream.write('', () => { setImmediate(resolve); });
  });

/**
 * Records the first error of stdout that no caller awaits, for example while printing help. Ignores a closed reader
 * (`| head -1`).
 */
class StdoutErrors {
  #first: unknown;

  get first(): unknown {
    return this.#first;
  }

  /**
   * Replaces all error listeners of stdout. A library's listener throws, which would end the process with a stack
   * trace.
   */
  listen(): void {
    process.stdout.removeAllListeners('error').on('error', (error) => { if (!isClosedPipe(error)) this.#first ??= asUnwritable(error); });
  }
}

const report = async (thrown: unknown, argv: readonly string[], development: boolean): Promise<number> => {
  const { asFailureError, failureOf } = await import('./failure.js');
  if (isClosedPipe(thrown)) return 0;
  const usage = ['protofly', ...leadingWords(argv).slice(0, WORDS_OF_A_COMMAND)].join(' ');
  const failure = failureOf(thrown, usage);
  if (hasSwitch(argv, '--json') && !isUnwritable(thrown)) process.stdout.write(`${JSON.stringify({ error: failure })}\n`);
  else {
    const { printable } = await import('./io/table.js');
    process.stderr.write(`${process.stderr.isTTY ? '\r\u001b[2K' : ''}protofly: ${printable(failure.message)}${failure.uncertain === true ? '; it may have arrived all the same' : ''}${failure.hint === undefined ? '' : `\n  ${printable(failure.hint)}`}\n`);
  }
  if (development || hasSwitch(argv, '--verbose')) {
    const { inspect } = await import('node:util');
    process.stderr.write(`${inspect(asFailureError(thrown).cause ?? thrown)}\n`);
  }
  return failure.exit;
};

/** Runs a command. @returns the exit code @throws the command's error */
const execute = async (args: readonly string[], root: string, development: boolean, stdout: StdoutErrors): Promise<number> => {
  checkArguments(args);
  const argv = moveLeadingFlags(args);
  if (!development) {
    const { takeShortCut } = await import('./short-cut.js');
    if (await takeShortCut(argv, process)) return 0;
  }
  const { runCommand } = await import('./command-line.js');
  stdout.listen();
  return runCommand(argv, root);
};

const end = async (exit: number): Promise<never> => {
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(exit);
};

/**
 * The entry point of the command line: finds the command, runs it, prints any error and exits the process.
 * @param root the folder of the package
 */
export const run = async (args: readonly string[], root: string, { development = false }: RunOptions = {}): Promise<void> => {
  const argv = moveLeadingFlags(args);
  const stdout = new StdoutErrors();
  stdout.listen();
  process.stderr.on('error', () => undefined);
  process.once('uncaughtException', (thrown) => { void report(thrown, argv, development).then(end); });
  let failure: unknown;
  const failed = (thrown: unknown): Promise<number> => report(failure = thrown, argv, development);
  const exit = await execute(args, root, development, stdout).catch(failed);
  await flushed(process.stdout);
  const unwritten = stdout.first === undefined || isUnwritable(failure) ? 0 : await failed(stdout.first);
  await end(exit === 0 ? unwritten : exit);
};
