import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { DoctorTask } from '../client/daemon-options.js';
import { asReportable } from '../kit/os-errors.js';
import { iceEndpoints, ProtoflyError, systemClock } from '../protocol/index.js';
import { createWebRtcEngine } from '../sandbox/inside/webrtc/index.js';
import { probeNetwork } from '../runtime/p2p/stun/index.js';
import { openLmdbStore } from '../store/lmdb/index.js';

// The entry point of a process that runs one task of the doctor, so that a crash stays in that process. It prints one
// line.

const tryStore = async (folder: string): Promise<void> => {
  const path = mkdtempSync(join(folder, '.protofly-doctor-'));
  try {
    const store = openLmdbStore({ path });
    try {
      await store.collection<string>('doctor').put('key', 'value');
      if (store.collection<string>('doctor').get('key') !== 'value') throw new ProtoflyError('E_STORE', 'what was written is not there');
    } finally {
      await store.close();
    }
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
};

const run = async (task: DoctorTask): Promise<unknown> => {
  switch (task.what) {
    case 'webrtc':
      (await createWebRtcEngine({ clock: systemClock, log: () => undefined })).shutdown();
      return {};
    case 'store':
      await tryStore(task.folder);
      return {};
    case 'network': {
      const addresses = (): string[] => Object.values(networkInterfaces()).flatMap((found = []) => found.map(({ address }) => address));
      return probeNetwork(iceEndpoints(task.servers), { clock: systemClock, addresses });
    }
  }
};

const say = (line: object): Promise<void> => new Promise((resolve) => { process.stdout.write(`${JSON.stringify(line)}\n`, () => { resolve(); }); });
process.stdout.on('error', () => { process.exit(1); });
try {
  await say({ value: await run(JSON.parse(process.argv[2] ?? '') as DoctorTask) });
  process.exit(0);
} catch (thrown) {
  const { code, message } = asReportable(thrown);
  await say({ error: { code, message } });
  process.exit(1);
}
