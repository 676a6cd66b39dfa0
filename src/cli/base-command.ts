import { custom as customArgument } from '@oclif/core/args';
import { Command } from '@oclif/core/command';
import { boolean, custom, string } from '@oclif/core/flags';
import { createContext, type Context, type GlobalFlags } from './context.js';
import { parseDuration } from './io/duration.js';

/** A flag whose value is a duration. The command gets milliseconds. */
export const durationFlag = custom<number>({
  helpValue: '5s',
  defaultHelp: ({ options }) => Promise.resolve(typeof options.default === 'number' ? `${String(options.default / 1000)}s` : undefined),
  parse: (text) => Promise.resolve(parseDuration(text)),
});

/**
 * An argument. Unlike the framework's default, a missing argument is not read from stdin: stdin belongs to the
 * caller.
 */
export const argument = customArgument<string>({ ignoreStdin: true, parse: (text) => Promise.resolve(text) });

/**
 * The base of all commands: the global flags, and the context made from them. `cli.ts` prints thrown errors and turns
 * them into the exit code.
 */
export abstract class BaseCommand extends Command {
  static override baseFlags = {
    profile: string({ description: 'name of the runtime on this machine', env: 'PROTOFLY_PROFILE', default: 'default', helpGroup: 'GLOBAL' }),
    json: boolean({ description: 'print JSON', helpGroup: 'GLOBAL' }),
    'no-input': boolean({ description: 'never ask, and show no colours or progress', helpGroup: 'GLOBAL' }),
    verbose: boolean({ description: 'print stack traces', helpGroup: 'GLOBAL' }),
  };

  protected context(flags: GlobalFlags): Context {
    return createContext(flags, process);
  }

  /** Doesn't print the error: `cli.ts` does. */
  override catch(error: Error): Promise<never> {
    return Promise.reject(error);
  }
}
