import { hasSwitch, leadingWords, moveLeadingFlags } from './arguments.js';

export interface RunOptions {
  /** Stack traces always, and no short cut. */
  readonly development?: boolean;
}

const WORDS_OF_A_COMMAND = 2;

/** Resolves when what was written to a stream has been taken. */
const flushed = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.writableLength === 0) { resolve(); return; }
    stream.write('', () => { resolve(); });
  });

/** A reader that has gone (`| head -1`) ends the command quietly; other trouble with stdout is for whoever wrote. */
const endWithReader = (stream: NodeJS.WriteStream): void => {
  stream.on('error', (error: NodeJS.ErrnoException) => { if (error.code !== 'EPIPE') process.exitCode = 1; });
};

const report = async (thrown: unknown, argv: readonly string[], development: boolean): Promise<number> => {
  const { asFailureError, failureOf, isClosedPipe } = await import('./failure.js');
  if (isClosedPipe(thrown)) return 0;
  const usage = ['protofly', ...leadingWords(argv).slice(0, WORDS_OF_A_COMMAND)].join(' ');
  const failure = failureOf(thrown, usage);
  if (hasSwitch(argv, '--json')) process.stdout.write(`${JSON.stringify({ error: failure })}\n`);
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

/** Runs a command. @returns its exit code; errors are thrown */
const execute = async (argv: readonly string[], root: string, development: boolean): Promise<number> => {
  if (!development) {
    const { takeShortCut } = await import('./short-cut.js');
    if (await takeShortCut(argv, process)) return 0;
  }
  const { runCommand } = await import('./command-line.js');
  return runCommand(argv, root);
};

/**
 * The command line's entry: finds the command, runs it, prints what went wrong, and ends the process.
 * @param root the folder of the package
 */
export const run = async (args: readonly string[], root: string, { development = false }: RunOptions = {}): Promise<void> => {
  const argv = moveLeadingFlags(args);
  endWithReader(process.stdout);
  endWithReader(process.stderr);
  const exit = await execute(argv, root, development).catch((thrown: unknown) => report(thrown, argv, development));
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(exit === 0 ? process.exitCode ?? 0 : exit);
};
