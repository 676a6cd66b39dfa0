import { inProcessSandbox, processSandbox } from '../../dist/runtime/index.js';
import { burst, Counter, roundTrips, serve } from './serve.js';

// A runtime's end of a sandbox. The stub in it sends carried messages back.
const runtimeURL = 'hyperty-runtime://localhost/sandboxed';
const NEAR = 'hyperty://localhost/near';
const FAR = 'hyperty://localhost/far';
const ECHO = `export default (url, bus) => {
  bus.addListener('*', (message) => bus.postMessage({ ...message, from: message.to, to: message.from }));
  return { name: 'echo', instance: {} };
};`;

const counter = new Counter();
let sandbox;
let link;
let next = 1;
let settle;

const post = (value) => link.send({ id: next++, type: 'create', from: NEAR, to: FAR, body: { value } });

serve({
  start: async (kind) => {
    const log = () => undefined;
    sandbox = await (kind === 'in-process' ? inProcessSandbox({ log }) : processSandbox({ log }))('echo', { ours: kind === 'process' });
    ({ link } = await sandbox.deploy({ url: `${runtimeURL}/protostub/1`, source: ECHO, config: { runtimeURL }, capabilities: [], servers: [] }));
    link.receive(({ body }) => {
      if (settle === undefined) counter.take(body.value);
      else settle();
    });
  },
  burst: async (of) => {
    const began = await burst(of, post);
    return { began, ...(await counter.result()) };
  },
  roundTrips: async ({ size, count }) => {
    const value = 'x'.repeat(size);
    const times = await roundTrips(count, () => new Promise((resolve) => {
      settle = resolve;
      void post(value);
    }));
    settle = undefined;
    return times;
  },
}, () => sandbox?.close());
