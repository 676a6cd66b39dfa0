import { passingCodec, textCodec } from '../../link/index.js';
import { Mux } from '../../link/mux/index.js';
import { parentLink } from '../../link/pipe/index.js';
import { systemClock, type Capability } from '../../protocol/index.js';
import { SyncClient } from './objects/client.js';
import { createCapabilities } from './capabilities.js';
import type { CapabilityProvider } from '../contract/evaluate.js';
import { SandboxHost } from './host.js';
import { LogLimit } from '../contract/log-limit.js';
import { describeError } from '../contract/describe-error.js';
import { evaluateApart } from './evaluate.js';
import { harden, hardenLanguage } from './harden.js';

// The entry point of a sandbox process. It ends with its link: a sandbox never outlives its runtime.
const limit = new LogLimit({ clock: systemClock, write: (level, text) => { process.stderr.write(`${level} ${text}\n`); } });
const log = (level: 'debug' | 'info' | 'warn', text: string): void => { limit.log(level, text); };

// An unhandled rejection must not end the other stubs.
process.on('unhandledRejection', (thrown) => { log('warn', `a stub's promise was rejected: ${describeError(thrown)}`); });
process.on('SIGINT', () => { log('debug', 'left to the runtime: SIGINT'); });

const link = parentLink(textCodec);
const capabilities = createCapabilities({ clock: systemClock, log });

hardenLanguage();
harden(SyncClient);

const provide: CapabilityProvider<Capability> = async (capability, stub) => {
  const provided = await capabilities.provide(capability, stub);
  for (const granted of Object.values(provided.sandbox)) harden(granted);
  return provided;
};

const host = new SandboxHost({ mux: new Mux(link, { codec: passingCodec }), clock: systemClock, provide, evaluate: evaluateApart, log });
const { how, reason } = await link.closed;
log('debug', `ends: ${reason}`);
// Stubs say goodbye only if the runtime stops in order. A runtime that was killed comes back and finds its
// mail.
if (how === 'closed') await host.close();
await capabilities.shutdown();
process.exit(0);
