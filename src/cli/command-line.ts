// This module adds an error listener to stdout that throws. It is imported here, not by a command, so that the
// listener can be removed before a command runs.
import '@oclif/core/command';
import { Config } from '@oclif/core/config';
import { run as runOclif } from '@oclif/core/run';
import { ProtoflyError } from '../protocol/index.js';
import { hasSwitch, leadingWords, nearest } from './arguments.js';

/** The number of words of the longest command. */
const MAX_WORDS = 3;

/** Returns the command ids that the words may start with, longest first. */
const prefixes = (words: readonly string[]): string[] =>
  Array.from({ length: Math.min(words.length, MAX_WORDS) }, (_, at) => words.slice(0, Math.min(words.length, MAX_WORDS) - at).join(':'));

const unknown = (config: Config, words: readonly string[]): ProtoflyError => {
  const known = config.commandIDs.map((id) => id.replaceAll(':', ' '));
  const depth = config.findTopic(words.slice(0, 2).join(':')) === undefined ? 2 : MAX_WORDS;
  const typed = words.slice(0, depth).join(' ');
  const meant = nearest(typed, known);
  return new ProtoflyError('E_USAGE', `there is no command ${JSON.stringify(typed)}`, { hint: meant === undefined ? 'see protofly --help' : `did you mean: protofly ${meant}` });
};

/** Turns `help msg send` and `-h` into the arguments of `msg send --help`; undefined if no help is asked for. */
const askingForHelp = (argv: readonly string[]): string[] | undefined => {
  if (argv[0] === 'help') return [...leadingWords(argv).slice(1), '--help'];
  if (argv.length === 0) return [];
  return hasSwitch(argv, '--help', '-h') ? [...leadingWords(argv), '--help'] : undefined;
};

/**
 * Finds the command that the words name and runs it with oclif.
 * @param root the folder of the package
 * @returns the exit code
 * @throws the command's error; ProtoflyError `E_USAGE` if there is no such command
 */
export const runCommand = async (argv: readonly string[], root: string): Promise<number> => {
  const help = askingForHelp(argv);
  if (argv[0] === '--version') {
    await runOclif(['--version'], root);
    return 0;
  }
  const config = await Config.load(root);
  const words = leadingWords(help ?? argv);
  const id = prefixes(words).find((candidate) => config.findCommand(candidate) !== undefined);
  const isTopic = words.length > 0 && id === undefined && config.findTopic(words.join(':')) !== undefined;
  if (help !== undefined || isTopic) {
    if (words.length > 0 && id === undefined && !isTopic) throw unknown(config, words);
    await runOclif([...(id === undefined ? words : id.split(':')), '--help'], root);
    return 0;
  }
  if (words.length === 0) throw new ProtoflyError('E_USAGE', `there is no command before ${argv[0]!}`, { hint: 'see protofly --help' });
  if (id === undefined) throw unknown(config, words);
  const result: unknown = await config.runCommand(id, argv.slice(id.split(':').length));
  return typeof result === 'number' ? result : 0;
};
