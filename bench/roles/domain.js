import { fileURLToPath } from 'node:url';
import { DomainServer, memoryStore } from '../../dist/index.js';
import { systemClock } from '../../dist/protocol/index.js';
import { memory, serve } from './serve.js';

const catalogueDir = fileURLToPath(new URL('../../dist/protostubs', import.meta.url));
let server;
serve({
  start: (init) => {
    server = new DomainServer({ store: memoryStore(), clock: systemClock }, { listen: { host: '127.0.0.1', port: 0 }, catalogueDir, allowUnauthenticated: true, ...init });
    return server.start();
  },
  memory,
}, () => server?.close());
