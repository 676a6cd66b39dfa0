import t from 'tap';
import { memoryPair } from '../../src/link/memory/index.js';
import type { Message } from '../../src/protocol/index.js';
import { linkContract } from './link-contract.js';

linkContract(t, {
  symmetric: true,
  pair: (a, b) => {
    const [one, other] = memoryPair<Message>({ ...b, ...a });
    return Promise.resolve({ a: one, b: other, cleanUp: async () => { await Promise.all([one.close(), other.close()]); } });
  },
});

t.test('what nests without end is refused to its sender', (t) => {
  const [one] = memoryPair<unknown>();
  const circle: { self?: unknown } = {};
  circle.self = circle;
  t.throws(() => one.send(circle), { code: 'E_MESSAGE' });
  t.end();
});
