import { ProtoflyError, type Activate } from '../../../protocol/index.js';
import { describeError } from '../../contract/describe-error.js';

/** Evaluates a module in this realm, with access to everything there. @throws ProtoflyError `E_DESCRIPTOR` */
export const evaluateHere = async (source: string): Promise<Activate> => {
  let module: { readonly default?: unknown };
  try {
    module = (await import(`data:text/javascript;base64,${Buffer.from(source).toString('base64')}`)) as { readonly default?: unknown };
  } catch (cause) {
    throw new ProtoflyError('E_DESCRIPTOR', `the stub's module can't be evaluated: ${describeError(cause)}`, { cause });
  }
  if (typeof module.default === 'function') return module.default as Activate;
  throw new ProtoflyError('E_DESCRIPTOR', 'the stub\'s module has no default export activate()');
};
