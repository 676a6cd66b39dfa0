import t from 'tap';
import { nextAckDeadline, type AckDeadline, type OwingLook } from '../../src/domain-server/edge/rest/ack-deadline.js';

const look = (now: number, first: number | undefined, more: Partial<OwingLook> = {}): OwingLook => ({ now, first, lateMs: 0, taken: 0, pending: false, patienceMs: 5000, ...more });
const after = (...looks: OwingLook[]): AckDeadline => looks.reduce<AckDeadline>((owing, one) => nextAckDeadline(owing, one).owing, { name: 'even' });

t.test('RST-4: every arrow', (t) => {
  t.match(after(look(0, undefined)), { name: 'even' });
  t.match(after(look(0, 1)), { name: 'owing', since: 0, first: 1 });
  t.match(after(look(0, 1), look(4999, 1)), { name: 'owing', since: 0 });
  t.match(after(look(0, 1), look(5000, 1)), { name: 'overdue' });
  t.match(nextAckDeadline(after(look(0, 1)), look(900, undefined)), { owing: { name: 'even' }, tookMs: 900 });
  t.match(nextAckDeadline(after(look(0, 1)), look(900, 3)), { owing: { name: 'owing', since: 900, first: 3 }, tookMs: 900 }, 'something is some progress');
  t.match(after(look(0, 1), look(5000, 1, { pending: true, taken: 9 }), look(9999, 1, { pending: true, taken: 9 })), { name: 'owing', since: 5000 }, 'the system takes what waits');
  t.match(after(look(0, 1), look(5000, 1, { pending: true })), { name: 'overdue' }, 'it takes nothing');
  t.match(after(look(0, 1), look(9000, 1, { lateMs: 5000 })), { name: 'owing', since: 5000 }, 'this process stood still');
  t.match(after(look(0, 1), look(-3_600_000, 1, { lateMs: -3_601_000 })), { name: 'owing', since: -3_601_000 }, 'the clock was put back');
  t.match(after(look(0, 1), look(5000, 1, { patienceMs: 6000 })), { name: 'owing', since: 0 });
  t.match(after(look(0, 1), look(5000, 1), look(6000, undefined)), { name: 'overdue' });
  t.end();
});
