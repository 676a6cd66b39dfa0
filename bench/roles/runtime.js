import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRuntime } from '../../dist/index.js';
import { breathe, burst, burstAcknowledged, Counter, now, roundTrips, serve } from './serve.js';

// The keys of the users.
const home = mkdtempSync(join(tmpdir(), 'pfly-bench-'));
process.env.PROTOFLY_HOME = home;
process.once('exit', () => { rmSync(home, { recursive: true, force: true }); });

const counter = new Counter();
const count = ({ value }) => { counter.take(value); return value; };
let take = count;
let node;
let hyperty;
let isClosing = false;

/** Waits until no connection is live or being set up. */
const idle = async () => {
  while ((await node.connections()).some(({ status }) => status !== 'failed' && status !== 'disconnected')) await breathe();
};

/** Ends the process: the figures of a run with a failed message are meaningless. */
const giveUp = (thrown) => {
  if (isClosing) return;
  process.stderr.write(`${thrown.stack}\n`);
  process.exit(1);
};

/** Sends one message. Doesn't wait for its receipt, if it wants one. */
const tell = (to, value, receipts) => void (receipts ? hyperty.send(to, value).catch(giveUp) : hyperty.post(to, value));

serve({
  start: async ({ domain, user, p2p = true, sandbox = 'process' }) => {
    node = await startRuntime({ domain, user, p2p, sandbox });
    hyperty = await node.register('bench', { p2p });
    await hyperty.receive((received) => take(received));
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
  burstAcknowledged: ({ to, ...of }) => burstAcknowledged(of, (value) => hyperty.send(to, value)),
  result: () => counter.result(),
  roundTrips: ({ to, size, count: times }) => {
    const value = 'x'.repeat(size);
    return roundTrips(times, () => hyperty.request(to, value));
  },
  /** From here on, sends each message back as a new one, until `count`. */
  answer: ({ receipts }) => { take = ({ value, from }) => { tell(from, value, receipts); }; },
  count: () => { take = count; },
  thereAndBack: ({ to, size, count: times, receipts }) => {
    const value = 'x'.repeat(size);
    let back;
    take = () => { back(); };
    return roundTrips(times, () => new Promise((resolve) => {
      back = resolve;
      tell(to, value, receipts);
    }));
  },
}, () => {
  isClosing = true;
  return node?.close();
});
