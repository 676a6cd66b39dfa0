import { ProtoflyError } from '../../protocol/index.js';
import type { Context } from '../context.js';

export interface Choice<T> {
  readonly name: string;
  readonly value: T;
}

/** Asks a question. Ctrl-C at the prompt counts as an interruption of the command. */
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

/** Lets the user choose. The context must be interactive. */
export const choose = async <T>(context: Context, message: string, choices: readonly Choice<T>[]): Promise<T> =>
  (await asked(context, { type: 'select', message, choices })) as T;

/** Lets the user type. The context must be interactive. */
export const askText = async (context: Context, message: string): Promise<string> => {
  const text = String(await asked(context, { type: 'input', message })).trim();
  if (text !== '') return text;
  throw new ProtoflyError('E_USAGE', 'nothing was entered');
};

/**
 * Returns a required argument: the given one, else the user's choice or input.
 * @throws ProtoflyError `E_USAGE` if the context isn't interactive
 */
export const needed = async (context: Context, name: string, given: string | undefined, choices?: () => Promise<readonly Choice<string>[]>): Promise<string> => {
  if (given !== undefined && given !== '') return given;
  if (!context.interactive) throw new ProtoflyError('E_USAGE', `${name} is missing`);
  const found = (await choices?.()) ?? [];
  return found.length > 0 ? choose(context, name, found) : askText(context, name);
};
