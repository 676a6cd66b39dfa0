import vm from 'node:vm';
import { ProtoflyError, type Activate } from '../../protocol/index.js';
import type { Evaluate } from '../contract/evaluate.js';
import { describeError } from '../contract/describe-error.js';
import { harden } from './harden.js';
import { createRealm } from './realm.js';

/** Maximum time for evaluating a module, in milliseconds. */
const EVALUATE_MS = 2000;

const within = async (promise: Promise<void>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new ProtoflyError('E_DESCRIPTOR', `the module isn't ready after ${String(EVALUATE_MS)} ms`)); }, EVALUATE_MS);
  });
  await Promise.race([promise, late]).finally(() => { clearTimeout(timer); });
};

/** Freezes the objects that the stub gets: the sandbox's own code uses them too. */
const given = (activate: Activate): Activate => (url, bus, config, sandbox) => {
  harden(bus, config, sandbox);
  return activate(url, bus, config, sandbox);
};

/** Evaluates a module in a realm of its own. The process must run with `--experimental-vm-modules`. */
export const evaluateApart: Evaluate = async (source, stub, globals) => {
  const { context, end } = createRealm(stub, globals);
  const refuseImport = (specifier: string): never => {
    stub.log('warn', `refused an import of ${specifier.slice(0, 80)}`);
    throw new ProtoflyError('E_DESCRIPTOR', `a stub is one module and imports nothing, not even ${specifier.slice(0, 80)}`);
  };
  try {
    const module = new vm.SourceTextModule(source, { context, identifier: stub.url, importModuleDynamically: refuseImport });
    await module.link(refuseImport);
    await within(module.evaluate({ timeout: EVALUATE_MS }) as Promise<void>);
    const { default: activate } = module.namespace as { readonly default?: unknown };
    if (typeof activate === 'function') return { activate: given(activate as Activate), end };
  } catch (cause) {
    end();
    throw new ProtoflyError('E_DESCRIPTOR', `the stub's module can't be evaluated: ${describeError(cause)}`, { cause });
  }
  end();
  throw new ProtoflyError('E_DESCRIPTOR', 'the stub\'s module has no default export activate()');
};
