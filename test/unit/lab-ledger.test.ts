import t from 'tap';
import { copiesMs } from '../lab/copies.js';
import { Ledger } from '../lab/ledger.js';
import { SCENARIOS } from '../lab/scenarios/index.js';

/** Tests the counts of the fault lab, and how long it waits for copies. */
const NOTHING = { lost: 0, repeated: 0, reordered: 0, refused: 0, refusedAndReceived: 0 };

/** Creates a ledger of messages 1 to `count`, each sent once. */
const ledgerOf = (count: number, store = false): Ledger => {
  const ledger = new Ledger({ count, store });
  ledger.sending(ledger.unacknowledged);
  return ledger;
};

t.test('what came once and in order is all right', (t) => {
  const ledger = ledgerOf(3);
  for (const number of [1, 2, 3]) {
    t.ok(ledger.receipt(number, 'delivered'));
    ledger.receive(number);
  }
  t.same(ledger.counts(), { ...NOTHING, sent: 3, received: 3 });
  t.same([ledger.missing, ledger.acknowledged, ledger.unacknowledged], [0, 3, []]);
  t.end();
});

t.test('lost, repeated and out of order are counted', (t) => {
  const ledger = ledgerOf(4);
  for (const number of [2, 1, 1, 1, 4]) ledger.receive(number);
  t.same(ledger.counts(), { ...NOTHING, sent: 4, received: 3, lost: 1, repeated: 2, reordered: 1 });
  t.end();
});

t.test('what was refused and came all the same is counted; what nobody knew of is not', (t) => {
  const ledger = ledgerOf(4);
  t.notOk(ledger.receipt(1, 'failed'));
  ledger.receipt(2, 'failed');
  ledger.receipt(3, 'unknown');
  ledger.receipt(4, 'unknown');
  ledger.receive(2);
  ledger.receive(3);
  t.same(ledger.counts(), { ...NOTHING, sent: 4, received: 2, refused: 2, refusedAndReceived: 1 });
  t.end();
});

t.test('what was sent again may come as often as it was sent, and an earlier refusal counts no longer', (t) => {
  const ledger = ledgerOf(3);
  ledger.receipt(1, 'delivered');
  ledger.receipt(2, 'failed');
  t.same(ledger.unacknowledged, [2, 3]);
  ledger.sending(ledger.unacknowledged);
  for (const number of [1, 2, 3, 2, 3, 3]) ledger.receive(number);
  for (const number of [2, 3]) ledger.receipt(number, 'delivered');
  t.same(ledger.counts(), { ...NOTHING, sent: 3, received: 3, repeated: 1 });
  t.end();
});

t.test('what is kept counts as acknowledged where it was to be kept', (t) => {
  t.equal(ledgerOf(1, true).receipt(1, 'queued'), true);
  t.equal(ledgerOf(1).receipt(1, 'queued'), false);
  t.end();
});

t.test('copies are waited for as long as one can take, where there can be any', (t) => {
  const named = (name: string) => SCENARIOS.find((scenario) => scenario.name === name)!;
  t.ok(copiesMs(named('nat-restricted'), 200) < 1000, 'nothing breaks, and receipts keep coming');
  t.ok(copiesMs(named('nat-restricted'), 3500) > 24_000, 'a receipt stayed away for so long that something was sent again');
  t.ok(copiesMs(named('cable-bad'), 200) > 24_000, 'the cable loses');
  t.ok(copiesMs(named('crash-domain'), 200) > 24_000, 'something breaks');
  t.ok(copiesMs(named('cable-30s-stored'), 200) > 30_000, 'mail is offered again');
  t.end();
});
