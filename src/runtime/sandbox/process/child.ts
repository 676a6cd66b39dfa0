import { passingCodec, textCodec } from '../../../link/index.js';
import { Mux } from '../../../link/mux/index.js';
import { parentLink } from '../../../link/pipe/index.js';
import { systemClock, type StubSandbox } from '../../../protocol/index.js';
import { createCapabilities } from '../capabilities.js';
import { SandboxHost } from '../host.js';

// The entry point of a sandbox process. It ends with its link: a sandbox never outlives its runtime.
const log: StubSandbox['log'] = (level, text) => { process.stderr.write(`${level} ${text}\n`); };
const link = parentLink(textCodec);
const capabilities = createCapabilities({ clock: systemClock, log });
const host = new SandboxHost({ mux: new Mux(link, { codec: passingCodec }), clock: systemClock, provide: capabilities.provide, log });
process.on('SIGINT', () => { log('debug', 'left to the runtime: SIGINT'); });
const { how, reason } = await link.closed;
log('debug', `ends: ${reason}`);
// Only a runtime that stops has its stubs say goodbye. One that was killed comes back, and finds what waits for it.
if (how === 'closed') await host.close();
await capabilities.shutdown();
process.exit(0);
