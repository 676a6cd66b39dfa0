import { asProtoflyError } from '../../protocol/index.js';

/** The words of whatever a stub threw. Never throws, though what it threw may. */
export const describeError = (thrown: unknown): string => {
  try {
    return asProtoflyError(thrown).message;
  } catch {
    return 'something that can\'t be shown was thrown';
  }
};
