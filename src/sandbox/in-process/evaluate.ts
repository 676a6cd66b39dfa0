import { asProtoflyError, ProtoflyError, type Activate } from '../../protocol/index.js';
import type { Evaluate } from '../contract/evaluate.js';

/** Evaluates a module in this realm, with access to everything there. */
export const evaluateHere: Evaluate = async (source) => {
  try {
    const module = (await import(`data:text/javascript;base64,${Buffer.from(source).toString('base64')}`)) as { readonly default?: unknown };
    if (typeof module.default === 'function') return { activate: module.default as Activate, end: () => undefined };
  } catch (cause) {
    throw new ProtoflyError('E_DESCRIPTOR', `the stub's module can't be evaluated: ${asProtoflyError(cause).message}`, { cause });
  }
  throw new ProtoflyError('E_DESCRIPTOR', 'the stub\'s module has no default export activate()');
};
