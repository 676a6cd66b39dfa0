import { CAPABILITIES, ProtoflyError, type Activate, type Clock } from '../../../protocol/index.js';
import { describeError } from '../../contract/describe-error.js';
import type { StartStub, StubContext } from '../../contract/stub.js';
import { MiniBus } from '../mini-bus.js';
import { SyncClient } from '../objects/client.js';
import type { CapabilityProvider, Provided } from './capabilities.js';

export interface NativeComponents {
  readonly clock: Clock;
  readonly provide: CapabilityProvider;
  readonly evaluate: (source: string) => Promise<Activate>;
}

/** Runs stubs in this realm. Nothing contains them: only for code of this installation, and for embedding and tests. */
export const startNative = ({ clock, provide, evaluate }: NativeComponents): StartStub => async ({ url, source, config, capabilities }, context, mux) => {
  const granted = await Promise.all(CAPABILITIES.filter((capability) => capabilities.includes(capability)).map((capability) => provide(capability, context)));
  const activate = await evaluate(source);
  const { log } = context;
  const link = mux.open(url);
  const bus = new MiniBus({ link, mux, clock, log }, { owner: url });
  const createSyncher = (): SyncClient => new SyncClient({ bus, clock }, { owner: url, runtime: config.runtimeURL, log });
  try {
    const sandbox = Object.assign({}, ...granted, { createSyncher, clock: guarded(clock, context), log }) as Required<Provided>;
    const { name, instance } = activate(url, bus.face(), config, sandbox);
    return {
      name: typeof name === 'string' ? name : '',
      link,
      close: async () => {
        try {
          await instance?.close?.();
        } finally {
          await bus.close();
        }
      },
    };
  } catch (cause) {
    await bus.close();
    await link.close('activation failed');
    throw new ProtoflyError('E_DESCRIPTOR', `the stub's activate() failed: ${describeError(cause)}`, { cause });
  }
};

/** Wraps the clock, so that errors thrown in a stub's timers are logged as the stub's. */
const guarded = (clock: Clock, { attempt }: StubContext): Clock => ({
  now: () => clock.now(),
  date: () => clock.date(),
  setTimeout: (run, milliseconds) => {
    const timer = clock.setTimeout(() => { attempt(run); }, milliseconds);
    return { cancel: () => { timer.cancel(); } };
  },
});
