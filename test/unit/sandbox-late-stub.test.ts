import t from 'tap';
import type { Link } from '../../src/link/index.js';
import { memoryPair } from '../../src/link/memory/index.js';
import { Mux } from '../../src/link/mux/index.js';
import { parseAddress, type Activate } from '../../src/protocol/index.js';
import { SandboxClient } from '../../src/sandbox/guard/client.js';
import { SandboxHost } from '../../src/sandbox/inside/host.js';
import { startNative } from '../../src/sandbox/inside/native/native.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const URL = parseAddress('hyperty-runtime://localhost/r/protostub/x');
const STUB = { url: URL, source: '', config: { runtimeURL: parseAddress('hyperty-runtime://localhost/r') }, capabilities: [], servers: [] };
const provide = (): never => { throw new Error('it asks for nothing'); };

t.test('a stub that is ready after its deployment has timed out does not go on running', async (t) => {
  const clock = new ManualClock();
  const log = (): void => undefined;
  const [near, far] = memoryPair<string>();
  const evaluations: (() => void)[] = [];
  let running = 0;
  const activate: Activate = () => {
    running += 1;
    return { name: 'x', instance: { close: () => { running -= 1; return Promise.resolve(); } } };
  };
  new SandboxHost({
    mux: new Mux(far), log,
    start: startNative({ clock, provide, evaluate: () => new Promise((resolve) => { evaluations.push(() => { resolve(activate); }); }) }),
  });
  const sandbox = new SandboxClient({ mux: new Mux(near), clock, log }, { name: 'late', kill: () => near.close('killed'), stop: () => near.close('closed'), deployMs: 1000, heartbeatMs: 60_000 });
  const late = sandbox.deploy(STUB);
  await turns();
  clock.advance(1000);
  await t.rejects(late, { code: 'E_TIMEOUT' });
  evaluations[0]!();
  await turns();
  t.equal(running, 0);
  const again = sandbox.deploy(STUB);
  await turns();
  evaluations[1]!();
  await again;
  t.equal(running, 1, 'its address is free');
  await sandbox.close();
  t.equal(running, 0);
});

t.test('a stub whose sandbox answers too late is ended', async (t) => {
  const clock = new ManualClock();
  const log = (): void => undefined;
  const [near, far] = memoryPair<string>();
  let running = 0;
  const activate: Activate = () => {
    running += 1;
    return { name: 'x', instance: { close: () => { running -= 1; return Promise.resolve(); } } };
  };
  // The stub's channel comes, the answer to its deployment doesn't.
  const mute: Link<string> = Object.assign(Object.create(far) as Link<string>, {
    receive: (receiver: Parameters<typeof far.receive>[0]) => { far.receive(receiver); },
    send: (frame: string) => (frame.includes('response') ? undefined : far.send(frame)),
    close: (reason: string) => far.close(reason),
    closed: far.closed,
  });
  new SandboxHost({ mux: new Mux(mute), log, start: startNative({ clock, provide, evaluate: () => Promise.resolve(activate) }) });
  const sandbox = new SandboxClient({ mux: new Mux(near), clock, log }, { name: 'late', kill: () => near.close('killed'), stop: () => near.close('closed'), deployMs: 1000, heartbeatMs: 60_000 });
  const late = t.rejects(sandbox.deploy(STUB), { code: 'E_TIMEOUT' });
  await turns();
  t.equal(running, 1);
  clock.advance(1000);
  await late;
  await turns();
  t.equal(running, 0);
  await near.close('closed');
});
