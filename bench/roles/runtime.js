import { startRuntime } from '../../dist/index.js';
import { breathe, burst, Counter, now, roundTrips, serve } from './serve.js';

const counter = new Counter();
let node;
let hyperty;

/** Waits until no connection is live or on its way. */
const idle = async () => {
  while ((await node.connections()).some(({ status }) => status !== 'failed' && status !== 'disconnected')) await breathe();
};

serve({
  start: async ({ domain, user, p2p = true, sandbox = 'process' }) => {
    node = await startRuntime({ domain, user, p2p, sandbox });
    hyperty = await node.register('bench', { p2p });
    await hyperty.receive(({ value }) => { counter.take(value); return value; });
    return hyperty.address;
  },
  connect: async (to) => {
    const began = now();
    await node.connect(to);
    return now() - began;
  },
  disconnect: (to) => node.disconnect(to),
  idle,
  burst: ({ to, ...of }) => burst(of, (value) => hyperty.post(to, value)),
  result: () => counter.result(),
  roundTrips: ({ to, size, count }) => {
    const value = 'x'.repeat(size);
    return roundTrips(count, () => hyperty.request(to, value));
  },
}, () => node?.close());
