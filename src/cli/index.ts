/**
 * The command line's side of the daemons: where their files are, what a person has set, starting and finding them,
 * talking to them in messages over their sockets, and printing. It isn't a library for others (that is `src/index.ts`),
 * and it holds no state but settings. Commands import its files one by one, never this one: what a command doesn't
 * need isn't loaded.
 */
export { run, type RunOptions } from './cli.js';
export { EXIT_OF, EXIT_OF_SIGNAL } from './exit-codes.js';
