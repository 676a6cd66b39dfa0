import { ProtoflyError, systemClock, type Request } from '../../protocol/index.js';
import { withRuntime } from '../connect.js';
import type { Runtime } from '../../client/runtime.js';
import type { Context } from '../context.js';
import { saveFolder } from '../../client/files/index.js';
import { choose } from '../io/prompt.js';
import { Printer } from './printer.js';

export interface TailInput {
  /** Names or addresses of hyperties. Empty means the only hyperty, or all. */
  readonly names: readonly string[];
  readonly raw: boolean;
  readonly count?: number | undefined;
  readonly timeoutMs?: number | undefined;
  /** Folder for received files. @default none: their messages are printed like others */
  readonly save?: string | undefined;
}

/** Returns the hyperties to read if none is named. */
const defaultNames = async (context: Context, runtime: Runtime): Promise<readonly string[]> => {
  const own = await runtime.hyperties();
  if (own.length === 0) throw new ProtoflyError('E_NOT_FOUND', 'this runtime has no hyperty', { hint: 'register one: protofly hyperty register NAME' });
  if (own.length === 1 || !context.interactive) return own.map(({ url }) => url);
  const all = own.map(({ url }) => url);
  return choose<readonly string[]>(context, 'Which hyperty?', [{ name: 'all of them', value: all }, ...own.map(({ name, url }) => ({ name, value: [url] }))]);
};

/**
 * Prints messages as they arrive, in order. A message counts as taken when stdout has accepted its line; all others
 * return to the inbox.
 * @throws ProtoflyError `E_TIMEOUT`; EPIPE if the reader of stdout has gone
 */
export const tailMessages = (context: Context, input: TailInput): Promise<void> =>
  withRuntime(context, {}, async (runtime) => {
    const until = input.timeoutMs === undefined ? undefined : systemClock.now() + input.timeoutMs;
    const printer = new Printer(runtime, context, { ...input, folder: input.save === undefined ? undefined : await saveFolder(input.save) });
    const names = input.names.length > 0 ? input.names : await defaultNames(context, runtime);
    const early: Request[] = [];
    runtime.client.onMessage((message) => { early.push(message); });
    for (const name of names) await printer.attach(name);
    if (input.count === 0) return;
    const wanted = (async () => {
      for (const message of early) await printer.receive(message);
      runtime.client.onMessage((message) => printer.receive(message));
      await printer.done;
    })();
    try {
      await context.output.whileRead(runtime.client.until(wanted, until === undefined ? undefined : Math.max(0, until - systemClock.now())));
    } catch (error) {
      if (error instanceof ProtoflyError && error.code === 'E_TIMEOUT') throw printer.late();
      if (!(context.signal.aborted && input.count === undefined)) throw error;
    } finally {
      await printer.stop();
      await detachQuietly(context, printer);
      await printer.close();
    }
  });

/**
 * Detaches, but ignores a closed link: the runtime detaches a program when its link closes. After Ctrl-C this does
 * nothing.
 */
const detachQuietly = async (context: Context, printer: Printer): Promise<void> => {
  if (context.signal.aborted) return;
  await printer.detach().catch((error: unknown) => {
    if (!(error instanceof ProtoflyError) || error.code !== 'E_LINK_CLOSED') throw error;
  });
};
