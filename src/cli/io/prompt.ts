import { ProtoflyError } from '../../protocol/index.js';
import type { Context } from '../context.js';

export interface Choice<T> {
  readonly name: string;
  readonly value: T;
}

/** A person who leaves a prompt by Ctrl-C has interrupted the command. */
const asked = async (context: Context, question: Record<string, unknown>): Promise<unknown> => {
  const { createPromptModule } = (await import('inquirer')).default;
  const prompt = createPromptModule({ output: process.stderr, signal: context.signal } as Parameters<typeof createPromptModule>[0]);
  try {
    return (await prompt([{ ...question, name: 'answer' } as never]) as { answer: unknown }).answer;
  } catch (cause) {
    context.signal.throwIfAborted();
    if (cause instanceof Error && cause.name === 'ExitPromptError') throw new ProtoflyError('E_ABORTED', 'interrupted', { cause });
    throw cause;
  }
};

/** Lets a person choose; the context must be interactive. */
export const choose = async <T>(context: Context, message: string, choices: readonly Choice<T>[]): Promise<T> =>
  (await asked(context, { type: 'select', message, choices })) as T;

/** Lets a person type; the context must be interactive. */
export const askText = async (context: Context, message: string): Promise<string> => {
  const text = String(await asked(context, { type: 'input', message })).trim();
  if (text !== '') return text;
  throw new ProtoflyError('E_USAGE', 'nothing was entered');
};

/**
 * A required argument: what was given, else what a person chooses or types.
 * @throws ProtoflyError `E_USAGE` where nobody can be asked
 */
export const needed = async (context: Context, name: string, given: string | undefined, choices?: () => Promise<readonly Choice<string>[]>): Promise<string> => {
  if (given !== undefined && given !== '') return given;
  if (!context.interactive) throw new ProtoflyError('E_USAGE', `${name} is missing`);
  const found = (await choices?.()) ?? [];
  return found.length > 0 ? choose(context, name, found) : askText(context, name);
};
