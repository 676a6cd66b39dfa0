import { ProtoflyError } from '../protocol/index.js';

/**
 * Does something that needs the link to the runtime. Its failure because the link has ended doesn't end a program that
 * didn't wait for the result; any other failure does, as is usual.
 * @throws what `run` throws
 */
export const untilEnd = <T>(run: () => Promise<T>): Promise<T> => {
  const result: Promise<T> = run().catch((thrown: unknown) => {
    if (thrown instanceof ProtoflyError && thrown.code === 'E_LINK_CLOSED') result.catch(() => undefined);
    throw thrown;
  });
  return result;
};
