import t from 'tap';
import { parseAddress, ProtoflyError } from '../../src/protocol/index.js';
import type { Protostub, StubInit } from '../../src/runtime/stubs/protostubs.js';
import { StubSupervisor, type StubSupervisorInit } from '../../src/runtime/stubs/stub-supervisor.js';
import { ManualClock, turns } from '../support/manual-clock.js';

interface Attempt {
  readonly succeed: () => Promise<Protostub>;
  readonly fail: () => Promise<void>;
  readonly end: (reason: string) => void;
}

/** A supervisor whose deployments are settled by hand. */
const supervised = (init: Partial<StubSupervisorInit> = {}) => {
  const clock = new ManualClock();
  const attempts: Attempt[] = [];
  const running: Protostub[] = [];
  const pauses: number[] = [];
  const ends: string[] = [];
  const undeployed: Protostub[] = [];
  const described = { count: 0, wait: Promise.resolve() };
  const deploy = (of: StubInit): Promise<Protostub> => new Promise((resolve, reject) => {
    attempts.push({
      succeed: async () => {
        const stub = { deployedAt: clock.now(), undeploy: () => { undeployed.push(stub); return Promise.resolve(); } } as unknown as Protostub;
        resolve(stub);
        await turns();
        return stub;
      },
      fail: async () => {
        reject(new ProtoflyError('E_TIMEOUT', 'not ready in time'));
        await turns();
      },
      end: (reason) => { of.onEnd(reason); },
    });
  });
  const supervisor = new StubSupervisor({
    clock,
    stubs: { deploy },
    describe: async () => {
      described.count += 1;
      await described.wait;
      return { url: parseAddress('hyperty-runtime://localhost/r/protostub/x'), kind: 'msg-node', domain: 'localhost', origin: parseAddress('hyperty-catalogue://localhost/.well-known/protocolstub/default'), config: { runtimeURL: parseAddress('hyperty-runtime://localhost/r') }, cause: 'remote', onStatus: () => undefined, admit: () => undefined };
    },
    onRunning: (stub) => { running.push(stub); },
    onBackingOff: ({ pauseMs }) => { pauses.push(pauseMs); },
    onEnd: (_stub, reason, failure) => { ends.push(`${reason}, ${failure === undefined ? 'closed' : String(failure.pauseMs)}`); },
    log: () => undefined,
  }, { isKept: true, describeLoss: (reason) => `it ended: ${reason}`, ...init });
  return { clock, attempts, running, pauses, ends, undeployed, described, supervisor };
};

t.test('a kept stub that cannot be deployed is tried again after growing pauses', async (t) => {
  const { clock, attempts, running, pauses, supervisor } = supervised();
  t.equal(supervisor.state, 'idle');
  supervisor.start();
  supervisor.start();
  await turns();
  for (const pause of [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
    const { length } = attempts;
    await attempts.at(-1)!.fail();
    t.equal(supervisor.state, 'backingOff');
    t.match(supervisor.failure, { isLoss: false, pauseMs: pause, error: { message: 'not ready in time' } });
    t.throws(() => supervisor.want(), { code: 'E_TIMEOUT' }, 'a message does not wait for that');
    clock.advance(pause - 1);
    await turns();
    t.equal(attempts.length, length);
    clock.advance(1);
    await turns();
    t.equal(attempts.length, length + 1);
    t.equal(supervisor.state, 'deploying');
    t.match(supervisor.failure, { pauseMs: pause }, 'the failure is told until a deployment succeeds');
  }
  t.same(pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  const stub = await attempts.at(-1)!.succeed();
  t.equal(supervisor.state, 'running');
  t.equal(supervisor.stub, stub);
  t.same(running, [stub]);
  t.equal(supervisor.failure, undefined);
  t.equal(clock.pending, 0);
});

t.test('a stub that ends unexpectedly is deployed again', async (t) => {
  const { clock, attempts, running, ends, supervisor } = supervised();
  supervisor.start();
  await turns();
  await attempts[0]!.succeed();
  attempts[0]!.end('crashed');
  t.match(supervisor.failure, { isLoss: true, pauseMs: 250, error: { code: 'E_UNREACHABLE', message: 'it ended: crashed' } });
  t.equal(supervisor.stub, undefined);
  const wanted = supervisor.want();
  attempts[0]!.end('crashed again');
  t.equal(clock.pending, 1, 'an end counts once');
  clock.advance(250);
  await turns();
  const second = await attempts[1]!.succeed();
  t.equal(await wanted, second, 'messages wait for a lost stub');
  attempts[1]!.end('crashed soon');
  t.match(supervisor.failure, { pauseMs: 500 });
  clock.advance(500);
  await turns();
  await attempts[2]!.succeed();
  clock.advance(10_000);
  attempts[2]!.end('crashed after a while');
  t.match(supervisor.failure, { pauseMs: 250 }, 'the first pause again');
  t.same(ends, ['crashed, 250', 'crashed soon, 500', 'crashed after a while, 250']);
  t.equal(running.length, 3);
});

t.test('a stub that ends before it is handed over is lost, too', async (t) => {
  const { clock, attempts, running, ends, supervisor } = supervised();
  const wanted = supervisor.want();
  await turns();
  attempts[0]!.end('crashed');
  t.equal(supervisor.state, 'backingOff');
  await Promise.all([t.rejects(wanted, { message: 'it ended: crashed' }), attempts[0]!.succeed()]);
  t.equal(supervisor.stub, undefined);
  t.same([running, ends], [[], []]);
  clock.advance(250);
  await turns();
  t.equal(attempts.length, 2);
});

t.test('retry() and start() end the pause at once', async (t) => {
  const { clock, attempts, supervisor } = supervised();
  supervisor.start();
  await turns();
  await attempts[0]!.fail();
  supervisor.start();
  t.equal(supervisor.state, 'deploying');
  t.match(supervisor.failure, { pauseMs: 250 }, 'start() keeps the failure');
  supervisor.retry();
  t.equal(supervisor.failure, undefined, 'retry() forgets it');
  await turns();
  t.equal(attempts.length, 2, 'one deployment at a time');
  await attempts[1]!.fail();
  supervisor.retry();
  await turns();
  t.equal(attempts.length, 3);
  t.equal(clock.pending, 0);
  const wanted = supervisor.want();
  const stub = await attempts[2]!.succeed();
  t.equal(await wanted, stub);
  supervisor.retry();
  supervisor.start();
  await turns();
  t.equal(attempts.length, 3, 'a running stub stays');
});

t.test('a stub that is not kept is deployed when somebody wants it', async (t) => {
  const { clock, attempts, supervisor } = supervised({ isKept: false });
  supervisor.retry();
  t.equal(supervisor.state, 'idle');
  void t.rejects(supervisor.want(), { code: 'E_TIMEOUT' });
  await turns();
  await attempts[0]!.fail();
  clock.advance(250);
  await turns();
  t.equal(supervisor.state, 'idle');
  t.equal(attempts.length, 1);
  const [one, other] = [supervisor.want(), supervisor.want()];
  await turns();
  const stub = await attempts[1]!.succeed();
  t.same([await one === stub, await other === stub], [true, true]);
  attempts[1]!.end('crashed');
  const wanted = supervisor.want();
  clock.advance(500);
  await turns();
  t.equal(attempts.length, 3, 'it was wanted during the pause');
  await attempts[2]!.succeed();
  t.ok(await wanted);
  for (let loss = 2; loss < 4; loss += 1) {
    attempts[loss]!.end('crashed');
    if (loss === 3) break;
    void supervisor.want();
    clock.advance(1000);
    await turns();
    await attempts[loss + 1]!.succeed();
  }
  t.throws(() => supervisor.want(), { message: 'it ended: crashed' }, 'nobody waits for a long pause');
});

t.test('a stub that arrives after close() is undeployed', async (t) => {
  const { clock, attempts, running, undeployed, supervisor } = supervised();
  const wanted = supervisor.want();
  await turns();
  supervisor.close();
  supervisor.close();
  const [stub] = await Promise.all([attempts[0]!.succeed(), t.rejects(wanted, { code: 'E_UNREACHABLE', message: 'the runtime is stopping' })]);
  t.same([undeployed.length, undeployed[0] === stub, running.length], [1, true, 0]);
  t.equal(supervisor.state, 'stopped');
  t.equal(supervisor.stub, undefined);
  supervisor.start();
  supervisor.retry();
  t.throws(() => supervisor.want(), { code: 'E_UNREACHABLE' });
  await turns();
  t.equal(attempts.length, 1);
  t.equal(clock.pending, 0);
});

t.test('close() while the stub is looked up deploys nothing', async (t) => {
  const { attempts, described, supervisor } = supervised();
  let found = (): void => undefined;
  described.wait = new Promise((resolve) => { found = resolve; });
  supervisor.start();
  supervisor.close();
  found();
  await turns();
  t.same([described.count, attempts.length], [1, 0]);
});

t.test('a deployment that fails after close() begins no pause, and close() ends one', async (t) => {
  const { clock, attempts, pauses, supervisor } = supervised();
  supervisor.start();
  await turns();
  supervisor.close();
  await attempts[0]!.fail();
  t.same([pauses, clock.pending, supervisor.state], [[], 0, 'stopped']);
  const other = supervised();
  other.supervisor.start();
  await turns();
  await other.attempts[0]!.succeed();
  other.attempts[0]!.end('crashed');
  const wanted = t.rejects(other.supervisor.want(), { message: 'the runtime is stopping' });
  other.supervisor.close();
  await wanted;
  t.equal(other.clock.pending, 0);
});

t.test('a running stub goes on after close(), until its sandbox ends', async (t) => {
  const { clock, attempts, ends, undeployed, supervisor } = supervised();
  supervisor.start();
  await turns();
  const stub = await attempts[0]!.succeed();
  supervisor.close();
  t.equal(supervisor.stub, stub);
  attempts[0]!.end('the sandbox was closed');
  t.equal(supervisor.stub, undefined);
  t.same([ends, undeployed, clock.pending], [['the sandbox was closed, closed'], [], 0]);
});
