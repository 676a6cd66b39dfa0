import { custom as customArgument } from '@oclif/core/args';
import { Command } from '@oclif/core/command';
import { boolean, custom, string } from '@oclif/core/flags';
import { createContext, type Context, type GlobalFlags } from './context.js';
import { parseDuration } from './io/duration.js';

/** A flag whose value is a length of time; in the command it is milliseconds. */
export const durationFlag = custom<number>({
  helpValue: '5s',
  defaultHelp: ({ options }) => Promise.resolve(typeof options.default === 'number' ? `${String(options.default / 1000)}s` : undefined),
  parse: (text) => Promise.resolve(parseDuration(text)),
});

/** An argument. Left out, it is not looked for on stdin, as the framework would: that belongs to whoever started the command. */
export const argument = customArgument<string>({ ignoreStdin: true, parse: (text) => Promise.resolve(text) });

/**
 * What every command has: the global flags, and the context that is made of them. What a command throws is printed,
 * and becomes the exit code, in `cli.ts`.
 */
export abstract class BaseCommand extends Command {
  static override baseFlags = {
    profile: string({ description: 'which runtime on this machine', env: 'PROTOFLY_PROFILE', default: 'default', helpGroup: 'GLOBAL' }),
    json: boolean({ description: 'print JSON', helpGroup: 'GLOBAL' }),
    'no-input': boolean({ description: 'never ask, no colour, no progress', helpGroup: 'GLOBAL' }),
    verbose: boolean({ description: 'print stack traces', helpGroup: 'GLOBAL' }),
  };

  protected context(flags: GlobalFlags): Context {
    return createContext(flags, process);
  }

  /** Nothing is printed here: the error goes on to `cli.ts`. */
  override catch(error: Error): Promise<never> {
    return Promise.reject(error);
  }
}
