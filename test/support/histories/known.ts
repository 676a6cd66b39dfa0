import type { Act } from './acts.js';
import type { History } from './history.js';
import { PLAIN, type Settings } from './settings.js';

export interface Known {
  readonly name: string;
  readonly history: History;
}

const known: Known[] = [];
const at = (name: string, acts: readonly Act[], settings: Partial<Settings> = {}): void => { known.push({ name, history: { settings: { ...PLAIN, ...settings }, acts } }); };

/** Histories that once broke a promise. */
export const KNOWN: readonly Known[] = known;

const stored = { store: true };

// Ids belong to the program: two messages may share one.
at('twenty stored messages of one id, and one more after a pause', [
  ['attach', 'b', 'eager'], ['send', 'a', 'b', stored], ['send', 'a', 'b', { ...stored, idOf: 1 }, 19], ['run', 2500], ['send', 'a', 'b', stored], ['run', 5000],
]);
at('two messages of one id wait on disk', [
  ['leave', 'a'], ['send', 'a', 'b', stored], ['send', 'a', 'b', { ...stored, idOf: 1 }], ['wait', 2000], ['come', 'a'], ['run', 2500],
]);

// A message that leaves the outbox leaves the window.
at('the outbox is full when the receiver of a message in flight leaves', [
  ['attach', 'b', 'eager'], ['send', 'a', 'b', stored], ['leave', 'a'], ['send', 'a', 'c', stored], ['wait', 2500], ['come', 'a'], ['run', 2500], ['send', 'a', 'b', stored], ['run', 5000],
], { runtimes: ['a', 'b', 'c'], limits: { outboxMessages: 1 } });
at('a message in flight can\'t be written to disk', [
  ['attach', 'b', 'eager'], ['send', 'a', 'b', stored], ['disk', 'a', 'failing'], ['leave', 'a'], ['wait', 2500], ['disk', 'a', 'good'], ['come', 'a'], ['run', 2500], ['send', 'a', 'b', stored], ['run', 5000],
]);

// No message overtakes mail, as long as any mail waits at the domain.
const mailOfTwo: readonly Act[] = [
  ['attach', 'b', 'eager'], ['connect', 'a', 'b'], ['leave', 'b'],
  ['send', 'a', 'b', { ...stored, p2p: false }], ['flow'], ['wait', 700], ['send', 'a', 'b', { ...stored, ttl: 5 }], ['flow'],
];
at('mail of which the newest has expired', [...mailOfTwo, ['wait', 5200], ['send', 'a', 'b', stored], ['flow'], ['come', 'b'], ['flow']]);
at('mail of which the newest has expired, and a message that is still in flight', [
  ...mailOfTwo, ['send', 'a', 'b', stored], ['lose', 'a-node'], ['wait', 8000], ['send', 'a', 'b', stored], ['flow'], ['come', 'b'], ['flow'],
]);

// After a restart, a receiver knows its refusals and the messages that it held only in memory.
at('a message waits in memory, one behind it is on disk, and the receiver is killed', [
  ['send', 'a', 'b'], ['send', 'a', 'b', { size: 2500 }], ['run', 10_000], ['send', 'a', 'b'], ['run', 20_500], ['send', 'a', 'b'], ['flow'], ['kill', 'b'], ['come', 'b'], ['run', 10_000],
], { limits: { inboxBytes: 2000 } });
at('a refusal is lost, and the receiver is killed', [
  ['send', 'a', 'b', {}, 2], ['flow'], ['wait', 1000], ['lose', 'b-node', 9], ['wait', 100], ['kill', 'b'], ['come', 'b'], ['run', 10_000],
], { limits: { inboxMessages: 1, inboxStallMs: 500 } });

at('a stream in use while others begin isn\'t forgotten', [
  ['attach', 'b', 'eager'], ['send', 'a', 'b'], ['flow'], ['gaps', 'a', 'b', 31], ['attach', 'b', 10], ['send', 'a', 'b'], ['flow'], ['send', 'a', 'b', stored], ['flow'], ['wait', 4000], ['flow'], ['take', 'b', 10],
]);

at('a stored message that finds no room isn\'t overtaken', [
  ['leave', 'a'], ['send', 'a', 'b', stored, 3], ['wait', 1000], ['come', 'a'], ['arrive', 'a-node', 3], ['arrive', 'node-b', 2], ['attach', 'b', 'eager'], ['run', 10_000],
], { limits: { inboxMessages: 1, inboxStalled: 0 } });

// Durations use steady time.
const lost: readonly Act[] = [['attach', 'b', 'eager'], ['send', 'a', 'b', {}, 2], ['send', 'a', 'b', stored, 2], ['lose', 'a-node', 9]];
at('a message is lost, and the clock is set back', [...lost, ['setClock', 'a', -3_600_000], ['run', 120_000]]);
at('a message is lost, and the clock is set forward', [...lost, ['setClock', 'a', 300_000], ['run', 120_000]]);
at('a message is lost, and the sender sleeps', [...lost, ['sleep', 'a', 600_000], ['run', 120_000]]);
at('a message is lost, and everything stands still', [...lost, ['stall', 600_000], ['run', 120_000]]);

for (let microtasks = 0; microtasks <= 12; microtasks += 1) {
  at(`a message is sent ${String(microtasks)} microtasks after another went again`, [
    ['attach', 'b', 'eager'], ['connect', 'a', 'b'], ['send', 'a', 'b'], ['sendAfter', 'a', 'b', microtasks], ['cut', 'a', 'b'], ['run', 10_000],
  ]);
}

at('a message that has waited at its sender waits for the rest of its time at the domain', [
  ['leave', 'a'], ['leave', 'b'], ['send', 'a', 'b', { ...stored, ttl: 60 }], ['wait', 50_000], ['come', 'a'], ['flow'], ['wait', 30_000], ['attach', 'b', 'eager'], ['come', 'b'], ['flow'],
]);
at('a program that comes and goes leaves no timers', [
  ['send', 'a', 'b', {}, 6], ['flow'], ...Array.from({ length: 6 }, () => [['attach', 'b', 10], ['detach', 'b']] as const).flat(),
], { limits: { inboxMessages: 1 } });
at('a session ends whose mail was given and not acknowledged', [
  ['attach', 'b', 'eager'], ['connect', 'a', 'b'], ['leave', 'b'], ['send', 'a', 'b', { ...stored, p2p: false }], ['flow'],
  ['come', 'b'], ['leave', 'b'], ['endSession', 'b'], ['flow'], ['send', 'a', 'b', stored], ['flow'], ['come', 'b'], ['flow'],
], { reclaims: true });

// Messages of one flow with different wishes about P2P, and the targets of mail refusals.
at('an older message for the node alone is refused, a newer one goes directly', [
  ['send', 'a', 'b', { store: true, p2p: false }, 2], ['run', 4000], ['connect', 'a', 'b'], ['send', 'a', 'b', stored], ['run', 31_000],
], { limits: { inboxMessages: 1, inboxStallMs: 5000 } });
at('mail that comes late finds no room, and others wait behind it', [
  ['disk', 'b', 'failing'], ['send', 'a', 'b', stored], ['leave', 'b'], ['run', 60], ['come', 'b'], ['send', 'a', 'b', stored], ['send', 'a', 'b', { ...stored, p2p: false }], ['run', 31_000],
], { asks: true, reclaims: true, abandons: true, limits: { inboxBytes: 3000, inboxStallMs: 5000, streams: 6, outboxMessages: 2, window: 1000, mailBytes: 4000, laneRoom: 1 } });
at('a flow goes back over a number that it had skipped', [
  ['kill', 'b'], ['gaps', 'a', 'b', 4], ['come', 'b'], ['gaps', 'a', 'b', 2], ['wait', 2500], ['gaps', 'a', 'b', 3], ['run', 4000], ['wait', 16_000], ['leave', 'b'],
], { reclaims: true, abandons: true, limits: { inboxMessages: 2, inboxBytes: 1200, inboxStalled: 1, outboxUnderWay: 4, mailPerReceiver: 4, mailRetryMs: 5000, laneRoom: 3 } });
at('a receiver whose node is away refuses mail', [
  ['send', 'a', 'b', stored, 2], ['leave', 'b'], ['connect', 'a', 'b'], ['flow'], ['come', 'b'], ['send', 'a', 'b', { batches: true }, 3], ['flow'], ['leave', 'b'], ['wait', 31_000],
], { asks: true, reclaims: true, abandons: true, limits: { inboxBytes: 1200, inboxStalled: 1, streams: 4, outboxBytes: 1500, outboxPerPair: 1, mailBytes: 1500 } });
at('a message goes to the domain while the next is on its way directly', [
  ['connect', 'a', 'b'], ['leave', 'b'], ['send', 'a', 'b', { store: true, p2p: false }], ['send', 'a', 'b', stored, 3], ['flow'],
], { reclaims: true, abandons: true, limits: { inboxStallMs: 500, outboxMessages: 4, outboxUnderWay: 4, mailPerReceiver: 4, mailRetryMs: 5000, laneRoom: 1 } });
at('a message goes to the domain, the next directly, and many follow slowly', [
  ['kill', 'b'], ['send', 'a', 'b', { store: true, batches: true }, 1], ['connect', 'a', 'b'], ['gaps', 'a', 'b', 34],
], { abandons: true });
at('mail stands behind numbers that its sender has given up', [
  ['kill', 'b'], ['gaps', 'a', 'b', 2], ['come', 'b'], ['gaps', 'a', 'b', 1], ['wait', 31_000], ['gaps', 'a2', 'b', 34],
], { runtimes: ['a', 'a2', 'b'], twins: true, asks: true, limits: { inboxMessages: 1, inboxStalled: 3, outboxBytes: 1500, outboxPerPair: 4, outboxUnderWay: 2, mailRetryMs: 5000 } });
at('a late copy of mail that has been taken comes behind later mail', [
  ['send', 'a', 'b', { ...stored, batches: true }, 2], ['leave', 'b', 'lost'], ['hold', 'a-node'], ['run', 31_000], ['come', 'b'], ['flow'], ['endStub', 'b'], ['send', 'a', 'b', { ...stored, batches: true }, 1], ['flow'],
], { asks: true, reclaims: true, abandons: true, limits: { inboxMessages: 1, inboxStallMs: 5000, outboxPerPair: 1, mailBytes: 4000, mailRetryMs: 5000, laneRoom: 3 } });
at('a message goes to the domain while later ones are being sent again directly', [
  ['send', 'a', 'b', { store: true, p2p: false, batches: true }, 1], ['attach', 'b', 'slow'], ['run', 60], ['kill', 'b'], ['connect', 'a', 'b'], ['gaps', 'a', 'b', 4],
], { asks: true, limits: { inboxStalled: 3, inboxStallMs: 500, outboxMessages: 1, mailBytes: 4000, laneRoom: 1 } });
for (const slow of [['disk', 'a', 'slow'], ['disk', 'a', 'good']] as const) {
  at(`a sender is killed after it has heard that the domain keeps a message, its disk ${slow[2]}`, [
    slow, ['leave', 'b', 'lost'], ['send', 'a', 'b', stored], ['flow'], ['kill', 'a'], ['connect', 'a', 'b'], ['send', 'a', 'b', stored],
  ]);
}
at('a copy of a message comes while its refusal is on its way to the disk', [
  ['send', 'a', 'b', { batches: true }, 2], ['connect', 'a', 'b'], ['leave', 'b', 'lost'], ['send', 'a', 'b', { ...stored, batches: true }, 1], ['disk', 'b', 'slow'], ['run', 31_000], ['kill', 'b'],
], { reclaims: true, limits: { inboxMessages: 2, inboxBytes: 3000, inboxStalled: 0, outboxMessages: 4, window: 300 } });
