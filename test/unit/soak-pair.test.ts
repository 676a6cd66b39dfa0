import t from 'tap';
import { Pair } from '../../scripts/soak/traffic.js';

/** Creates a pair with these counts, for one direction between two hyperties. */
const pairOf = ({ acknowledged = [], refused = [], unknown = [], arrived = [] }: Readonly<Partial<Record<'acknowledged' | 'refused' | 'unknown' | 'arrived', readonly number[]>>>) => {
  const pair = new Pair({ sender: undefined, receiver: undefined, from: 'alice/out', to: 'bob/in', p2p: undefined });
  for (const number of acknowledged) pair.acknowledged.add(number);
  for (const number of refused) pair.refused.add(number);
  for (const number of unknown) pair.unknown.add(number);
  for (const number of arrived) pair.arrive(number);
  return pair;
};
const NONE = { lost: 0, repeated: 0, reordered: 0, refusedAndArrived: 0 };

t.test('what was acknowledged has to come once, and in order', (t) => {
  t.same(pairOf({ acknowledged: [1, 2, 3], arrived: [1, 2, 3] }).faults, NONE);
  t.same(pairOf({ acknowledged: [1, 2, 3], arrived: [1, 3] }).faults, { ...NONE, lost: 1 });
  t.same(pairOf({ acknowledged: [1, 2, 3], arrived: [1, 2, 2, 3, 2] }).faults, { ...NONE, repeated: 2 });
  t.same(pairOf({ acknowledged: [1, 2, 3], arrived: [1, 3, 2] }).faults, { ...NONE, reordered: 1 });
  t.end();
});

t.test('what was refused must not come', (t) => {
  t.same(pairOf({ acknowledged: [1], refused: [2, 3], arrived: [1] }).faults, NONE);
  t.same(pairOf({ acknowledged: [1], refused: [2, 3], arrived: [1, 3] }).faults, { ...NONE, refusedAndArrived: 1 });
  t.end();
});

t.test('what a killed runtime had not answered may come or not, and in any order; what it had not written down may come once more', (t) => {
  t.same(pairOf({ acknowledged: [1, 4], unknown: [2, 3], arrived: [1, 4, 3] }).faults, NONE);
  const pair = pairOf({ acknowledged: [1, 2], arrived: [1, 2] });
  pair.mayComeAgain.add(2);
  for (const number of [2, 2]) pair.arrive(number);
  t.same([pair.faults, pair.again], [{ ...NONE, repeated: 1 }, 1]);
  t.end();
});
