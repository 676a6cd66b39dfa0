import { ProtoflyError } from '../protocol/index.js';

/**
 * Runs an operation that needs the link to the runtime. If the link has ended and the promise is ignored, the
 * rejection doesn't end the program. Other ignored rejections do, as usual.
 * @throws what `run` throws
 */
export const untilEnd = <T>(run: () => Promise<T>): Promise<T> => {
  const result: Promise<T> = run().catch((thrown: unknown) => {
    if (thrown instanceof ProtoflyError && thrown.code === 'E_LINK_CLOSED') result.catch(() => undefined);
    throw thrown;
  });
  return result;
};
