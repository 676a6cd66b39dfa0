import { DomainServer, memoryStore } from '../../dist/index.js';
import { systemClock } from '../../dist/protocol/index.js';
import { memory, serve } from './serve.js';

const server = new DomainServer({ store: memoryStore(), clock: systemClock }, { listen: { host: '127.0.0.1', port: 0 } });
serve({ start: () => server.start(), memory }, () => server.close());
