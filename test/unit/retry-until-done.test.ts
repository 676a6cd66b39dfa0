import t from 'tap';
import { ProtoflyError } from '../../src/protocol/index.js';
import { RetryUntilDone } from '../../src/kit/retry-until-done.js';
import { ManualClock, turns } from '../support/manual-clock.js';

/** A renewal whose attempts the test ends by hand. */
const withAttempts = () => {
  const clock = new ManualClock();
  const attempts: { readonly done: () => void; readonly fail: () => void }[] = [];
  const log: string[] = [];
  const renew = () => new Promise<void>((resolve, reject) => {
    attempts.push({ done: resolve, fail: () => { reject(new ProtoflyError('E_TIMEOUT', 'no answer')); } });
  });
  return { clock, attempts, log, renewal: new RetryUntilDone({ clock, renew, log: (_level, text) => { log.push(text); } }, { name: 'it' }) };
};

t.test('what fails is tried again, with growing pauses, until it is done', async (t) => {
  const { clock, attempts, log, renewal } = withAttempts();
  renewal.start();
  for (const pause of [1000, 2000, 4000]) {
    attempts.at(-1)!.fail();
    await turns();
    const before = attempts.length;
    clock.advance(pause - 1);
    t.equal(attempts.length, before);
    clock.advance(1);
    t.equal(attempts.length, before + 1);
  }
  attempts.at(-1)!.done();
  await turns();
  t.same(log, [1000, 2000, 4000].map((pause) => `it: no answer; next try in ${String(pause)} ms`));
  renewal.resume();
  t.equal(attempts.length, 4, 'what is done is done');
  t.equal(clock.pending, 0);
  renewal.start();
  attempts.at(-1)!.fail();
  await turns();
  t.match(log.at(-1), /in 1000 ms/, 'another session, the first pause');
  renewal.close();
  t.equal(clock.pending, 0);
  renewal.start();
  t.equal(attempts.length, 5);
});

t.test('what was under way when a session was resumed may be lost: it is tried at once, and the earlier attempt counts no more', async (t) => {
  const { clock, attempts, renewal } = withAttempts();
  renewal.start();
  renewal.resume();
  t.equal(attempts.length, 2);
  attempts[0]!.fail();
  await turns();
  t.equal(clock.pending, 0, 'not because of the first');
  attempts[1]!.done();
  await turns();
  renewal.resume();
  t.equal(attempts.length, 2);
});
