import t from 'tap';
import { parseAddress } from '../../src/protocol/index.js';
import { Incoming } from '../../src/runtime/delivery/incoming.js';
import { Checkpoints, type KeptCheckpoint } from '../../src/runtime/hyperties/inbox/checkpoints.js';
import { Disk } from '../support/histories/disk.js';
import { ManualClock } from '../support/manual-clock.js';

const address = parseAddress('hyperty://example.com/bob');
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

void t.test('FLW-5 a position that could not be written is written when the disk takes it again', async (t) => {
  const clock = new ManualClock();
  const disk = new Disk(() => clock.now());
  const kept = disk.open().collection<KeptCheckpoint>('positions');
  const incoming = new Incoming<number>({ sizeOf: () => 1 });
  const failures: unknown[] = [];
  const positions = new Checkpoints({ kept, clock, incoming, onFailed: (thrown) => failures.push(thrown) }, { address });
  incoming.sort(1, 'a', { epoch: 'e', seq: 1, base: 1 });
  incoming.taken('a', { epoch: 'e', seq: 1 });
  disk.become('failing');
  const written = positions.write();
  const after = positions.write();
  await t.rejects(written, { code: 'E_STORE' });
  await t.rejects(after, { code: 'E_STORE' }, 'a write with nothing new waits for the one before it');
  t.equal(failures.length, 1);
  t.same([...kept.entries()], []);
  disk.become('good');
  clock.advance(1000);
  await turn();
  t.match([...kept.entries()].map(([, position]) => position), [{ from: 'a', epoch: 'e', next: 2 }]);
  positions.close();
  t.equal(clock.pending, 0);
});
