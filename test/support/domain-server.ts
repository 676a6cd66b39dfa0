import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { DomainServer, type DomainServerInit } from '../../src/domain-server/index.js';
import { systemClock } from '../../src/protocol/index.js';
import { memoryStore } from '../../src/store/index.js';
import type { Store } from '../../src/store/store.js';

export const temporaryFolder = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'pfly-'));
  t.teardown(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
};

/** Starts a domain server `a.example` on a free port; closed after the test. It lets in clients without a key. */
export const startServer = async (t: Test, init: DomainServerInit = {}, store: Store = memoryStore()): Promise<{ server: DomainServer; url: string; store: Store; logged: string[] }> => {
  const logged: string[] = [];
  const server = new DomainServer({ store, clock: systemClock, log: (text, details) => { if (details?.['error'] !== undefined) logged.push(`${text}: ${String(details['error'])}`); } }, { name: 'a.example', allowUnauthenticated: true, ...init });
  const url = await server.start();
  t.teardown(() => server.close());
  return { server, url, store, logged };
};
