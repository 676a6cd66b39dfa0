import { passingCodec, textCodec } from '../../link/index.js';
import { Mux } from '../../link/mux/index.js';
import { parentLink } from '../../link/pipe/index.js';
import { ProtoflyError, systemClock, type StubSandbox } from '../../protocol/index.js';
import { describeError } from '../contract/describe-error.js';
import { LogLimit } from '../contract/log-limit.js';
import type { StartStub } from '../contract/stub.js';
import { SandboxHost } from './host.js';

/** A way of running stubs in a process. */
export interface Runner {
  readonly start: StartStub;
  /** Ends what the stubs of the process shared. */
  shutdown(): void;
}

const refuse: StartStub = () => Promise.reject(new ProtoflyError('E_PLATFORM', 'this program can\'t keep a stub from files and processes, so it deploys none', { hint: 'run protofly with Node 20.17 or newer' }));

/** Runs a sandbox process. It ends with its link: a sandbox never outlives its runtime. */
export const runChild = async (make: (log: StubSandbox['log']) => Runner): Promise<void> => {
  const limit = new LogLimit({ clock: systemClock, write: (level, text) => { process.stderr.write(`${level} ${text}\n`); } });
  const log: StubSandbox['log'] = (level, text) => { limit.log(level, text); };
  // An unhandled rejection must not end the other stubs.
  process.on('unhandledRejection', (thrown) => { log('warn', `a stub's promise was rejected: ${describeError(thrown)}`); });
  process.on('SIGINT', () => { log('debug', 'left to the runtime: SIGINT'); });
  const isConfined = (process as { readonly permission?: unknown }).permission !== undefined;
  const link = parentLink(textCodec);
  const runner = make(log);
  const host = new SandboxHost({ mux: new Mux(link, { codec: passingCodec }), start: isConfined ? runner.start : refuse, log });
  const { how, reason } = await link.closed;
  log('debug', `ends: ${reason}`);
  // Stubs say goodbye only if the runtime stops in order. A runtime that was killed comes back and finds its
  // mail.
  if (how === 'closed') await host.close();
  runner.shutdown();
  process.exit(0);
};
