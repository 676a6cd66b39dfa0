import { memoryPair } from '../../link/memory/index.js';
import { Mux } from '../../link/mux/index.js';
import { systemClock, type StubSandbox } from '../../protocol/index.js';
import { SandboxClient } from '../guard/client.js';
import { SandboxHost } from '../inside/host.js';
import { createCapabilities } from '../inside/native/capabilities.js';
import { evaluateHere } from '../inside/native/evaluate.js';
import { startNative } from '../inside/native/native.js';
import type { SandboxFactory } from '../contract/sandbox.js';

/** Creates sandboxes in this process, for embedding and tests. They start at once and isolate nothing. */
export const inProcessSandbox = ({ log }: { readonly log: StubSandbox['log'] }): SandboxFactory => (name) => {
  const clock = systemClock;
  const [near, far] = memoryPair<string>({ name });
  const { provide, shutdown } = createCapabilities({ clock, log });
  const host = new SandboxHost({ mux: new Mux(far), start: startNative({ clock, provide, evaluate: evaluateHere }), log });
  const kill = async (reason: string): Promise<void> => {
    await host.close();
    await near.close(reason);
    await shutdown();
  };
  return Promise.resolve(new SandboxClient({ mux: new Mux(near), clock, log }, { name, kill, stop: () => kill('closed') }));
};
