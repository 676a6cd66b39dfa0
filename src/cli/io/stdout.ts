import { ProtoflyError } from '../../protocol/index.js';

/** Stdout can't be written, for example because the disk is full. */
class UnwritableStdout extends ProtoflyError {
  readonly stream = 'stdout';
}

/** True if the error means that stdout can't be written. */
export const isUnwritable = (thrown: unknown): boolean => thrown instanceof ProtoflyError && 'stream' in thrown;

/** True if the error means that the reader of stdout has gone. That is not a failure. */
export const isClosedPipe = (thrown: unknown): boolean => {
  const { code } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as { readonly code?: unknown };
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
};

/** Turns an error of stdout into one to report. A closed pipe is returned unchanged. */
export const asUnwritable = (error: Error): Error =>
  isClosedPipe(error) ? error : new UnwritableStdout('E_PLATFORM', `stdout can't be written: ${error.message}`, { cause: error });
