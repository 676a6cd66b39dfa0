import t from 'tap';
import { ProtoflyError } from '../../src/protocol/index.js';
import type { Carrier } from '../../src/runtime/delivery/index.js';
import { nextCourse, type Course, type CourseEvent } from '../../src/runtime/delivery/course.js';

const EVEN: Course = { name: 'even' };
const done = Promise.resolve();
const trouble = new ProtoflyError('E_UNREACHABLE', 'no way');
const carrier = { kind: 'p2p' } as Carrier;
const after = (course: Course, ...events: readonly CourseEvent[]): Course => events.reduce(nextCourse, course);

t.test('a flow with a message that has no carrier is stuck until it is cleared', (t) => {
  const stuck = after(EVEN, { name: 'trouble', trouble });
  t.strictSame(stuck, { name: 'stuck', trouble });
  t.strictSame(after(stuck, { name: 'cleared' }), EVEN);
  t.end();
});

t.test('a flow that is being sent again forgets its trouble, and keeps what comes meanwhile', (t) => {
  const moving = after(EVEN, { name: 'trouble', trouble }, { name: 'move', done });
  t.strictSame(moving, { name: 'moving', done, lost: new Set(), trouble: undefined });
  t.strictSame(after(moving, { name: 'lost', carrier }), { name: 'moving', done, lost: new Set([carrier]), trouble: undefined });
  t.strictSame(after(moving, { name: 'moved' }), EVEN);
  t.strictSame(after(moving, { name: 'trouble', trouble }, { name: 'moved' }), { name: 'stuck', trouble });
  t.strictSame(after(moving, { name: 'trouble', trouble }, { name: 'cleared' }, { name: 'moved' }), EVEN);
  t.end();
});

t.test('events that don\'t fit change nothing', (t) => {
  const moving = after(EVEN, { name: 'move', done });
  t.equal(after(moving, { name: 'move', done: Promise.resolve() }), moving);
  t.equal(after(EVEN, { name: 'moved' }), EVEN);
  t.equal(after(EVEN, { name: 'lost', carrier }), EVEN);
  t.end();
});
