import { asProtoflyError } from '../../protocol/index.js';

/** Describes whatever a stub threw. Never throws, even if the thrown value does when read. */
export const describeError = (thrown: unknown): string => {
  try {
    return asProtoflyError(thrown).message;
  } catch {
    return 'something that can\'t be shown was thrown';
  }
};
