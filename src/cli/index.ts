/**
 * The command line's part of the work: files, settings, finding and starting daemons, talking to them over their
 * sockets, and printing. It isn't a public library (that is `src/index.ts`) and holds no state but settings. Commands
 * import single files, never this one, so that they load only what they need.
 */
export { run, type RunOptions } from './cli.js';
export { EXIT_OF, EXIT_OF_SIGNAL } from './exit-codes.js';
