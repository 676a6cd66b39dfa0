import './bare-children.js';
import type { Test } from 'tap';
import { Client } from '../../src/client/client.js';
import { Runtime as RuntimeView } from '../../src/client/runtime.js';
import { DomainServer, type DomainServerInit } from '../../src/domain-server/index.js';
import type { Link } from '../../src/link/index.js';
import { memoryPair } from '../../src/link/memory/index.js';
import { systemClock, type Message } from '../../src/protocol/index.js';
import { Node } from '../../src/library/index.js';
import { processSandbox, Runtime, type RuntimeComponents, type RuntimeInit, type SandboxFactory } from '../../src/runtime/index.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { until } from './until.js';

/** Starts a domain server on a free port, with the stubs of this package in its catalogue; closed after the test. It lets in clients without a key. */
export const startDomain = async (t: Test, name = 'localhost', init: DomainServerInit = {}, store: Store = memoryStore()): Promise<{ server: DomainServer; url: string; store: Store }> => {
  const server = new DomainServer({ store, clock: systemClock }, { name, allowUnauthenticated: true, ...init });
  const url = await server.start();
  t.teardown(() => server.close());
  return { server, url, store };
};

export interface TestRuntime {
  readonly runtime: Runtime;
  readonly node: Node;
  readonly store: Store;
  /** Its log entries, one text each. */
  readonly log: readonly string[];
  /** The runtime as its programs see it. */
  readonly view: RuntimeView;
  /** Creates another program of the same runtime. */
  readonly program: () => Promise<Node>;
}

/**
 * Starts a runtime in this process, whose sandboxes are processes; stopped after the test.
 * @param isStarted says when it has the status that is waited for @default when it is live
 */
export const startTestRuntime = async (
  t: Test, init: Omit<RuntimeInit, 'version'>, store: Store = memoryStore(), factory?: SandboxFactory, components: Partial<Pick<RuntimeComponents, 'interfaces' | 'log' | 'web'>> = {},
  isStarted?: (status: Record<string, unknown>) => boolean,
): Promise<TestRuntime> => {
  const entries: string[] = [];
  const log = (level: string, text: string): void => { entries.push(`${level} ${text}`); };
  const runtime = await Runtime.start(
    { store, sandboxes: factory ?? processSandbox({ log }), clock: systemClock, fetch, log, ...components },
    { ...init, version: 'test' },
  );
  t.teardown(() => runtime.stop());
  if (isStarted === undefined) await runtime.whenLive(AbortSignal.timeout(20_000));
  else await until('the status that is waited for', () => Promise.resolve(isStarted(runtime.status())));
  const link = (): Link<Message> => {
    const [near, far] = memoryPair<Message>();
    runtime.serve(far);
    return near;
  };
  const program = (): Promise<Node> => Node.open(link(), { end: () => Promise.resolve(), transient: false });
  const { client, session } = await Client.open(link());
  return { runtime, node: await program(), view: new RuntimeView(client, session), store, log: entries, program };
};
