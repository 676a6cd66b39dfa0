import { ProtoflyError } from '../../protocol/index.js';

/** Stdout can't be written: its disk is full, or the like. */
class UnwritableStdout extends ProtoflyError {
  readonly stream = 'stdout';
}

/** Whether a thrown value says that stdout can't be written. */
export const isUnwritable = (thrown: unknown): boolean => thrown instanceof ProtoflyError && 'stream' in thrown;

/** A reader of stdout that has gone isn't an error. */
export const isClosedPipe = (thrown: unknown): boolean => {
  const { code } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as { readonly code?: unknown };
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
};

/** What stdout said, as an error to report. That its reader has gone stays as it is. */
export const asUnwritable = (error: Error): Error =>
  isClosedPipe(error) ? error : new UnwritableStdout('E_PLATFORM', `stdout can't be written: ${error.message}`, { cause: error });
