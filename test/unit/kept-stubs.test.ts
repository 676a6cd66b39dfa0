import t from 'tap';
import type { MessageBus } from '../../src/bus/index.js';
import { catalogueAddress, parseAddress, ProtoflyError, subscriptionAddress, type Message } from '../../src/protocol/index.js';
import type { Carrier } from '../../src/runtime/delivery/index.js';
import { MessageNodes } from '../../src/runtime/nodes/message-nodes.js';
import { P2pHandler } from '../../src/runtime/p2p/p2p-handler.js';
import type { Protostub, Protostubs, StatusEvent, StubInit } from '../../src/runtime/stubs/protostubs.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const RUNTIME = parseAddress('hyperty-runtime://localhost/r');
const HANDLER_STUB = 'hyperty-catalogue://localhost/.well-known/protocolstub/p2p-handler';
const REQUESTER_STUB = 'hyperty-catalogue://localhost/.well-known/protocolstub/p2p-requester';

interface Deployed extends Pick<Protostub, 'status' | 'address' | 'init'> {
  readonly configured: unknown[];
  undeployed: boolean;
  report(status: StatusEvent['status'], details?: Record<string, unknown>): void;
  end(reason: string): void;
}

/** Stubs that are deployed at once, or refused with `refuse`. */
const fakeStubs = (clock: ManualClock) => {
  const deployed: Deployed[] = [];
  const fake = {
    deployed,
    refuse: undefined as ProtoflyError | undefined,
    onDeploy: (): void => undefined,
    deploy: (init: StubInit): Promise<Protostub> => {
      if (fake.refuse !== undefined) return Promise.reject(fake.refuse);
      const stub = {
        init, status: 'created', address: init.url, deployedAt: clock.now(), description: undefined, isAway: false, undeployed: false, configured: [] as unknown[],
        loaded: { config: { url: 'ws://127.0.0.1' } },
        configure: (ice: unknown) => { stub.configured.push(ice); },
        undeploy: () => { stub.undeployed = true; return Promise.resolve(); },
        report: (status: StatusEvent['status'], details = {}) => {
          stub.status = status;
          init.onStatus({ type: 'update', status, details, session: 'new' });
        },
        end: (reason: string) => { init.onEnd(reason); },
      };
      deployed.push(stub as unknown as Deployed);
      fake.onDeploy();
      return Promise.resolve(stub as unknown as Protostub);
    },
  };
  return fake;
};

const messageNodes = () => {
  const clock = new ManualClock();
  const stubs = fakeStubs(clock);
  const [pings, probes]: [string[], string[]] = [[], []];
  const lost: Carrier[] = [];
  const counts = { changes: 0 };
  const bus = {
    request: ({ to }: Message) => { pings.push(String(to)); return new Promise(() => undefined); },
    ask: ({ to }: Message) => { probes.push(String(to)); return new Promise(() => undefined); },
  } as unknown as MessageBus;
  const nodes = new MessageNodes({
    bus, clock, stubs: stubs as unknown as Protostubs,
    intake: { accept: () => undefined, isOwn: () => false, lost: (carrier) => { lost.push(carrier); } },
    named: { has: () => true, admit: () => undefined },
    onSession: () => Promise.resolve(),
    onChange: () => { counts.changes += 1; },
    log: () => undefined,
  }, { runtime: RUNTIME, domain: 'localhost' });
  return { clock, stubs, pings, probes, lost, counts, nodes };
};

t.test('the stub of the own domain is kept deployed, and the status tells why it is not', async (t) => {
  const { clock, stubs, pings, lost, nodes } = messageNodes();
  stubs.refuse = new ProtoflyError('E_NOT_FOUND', 'no such stub');
  t.match(nodes.status, { status: 'disconnected', description: undefined, refusal: undefined });
  nodes.start();
  await turns();
  t.match(nodes.status, { stub: undefined, status: 'failed', description: 'no such stub', refusal: { code: 'E_NOT_FOUND' } });
  stubs.refuse = undefined;
  clock.advance(249);
  await turns();
  t.equal(stubs.deployed.length, 0);
  clock.advance(1);
  t.match(nodes.status, { status: 'failed' }, 'until it is deployed');
  await turns();
  const [first] = stubs.deployed;
  t.match(nodes.status, { stub: first!.address, status: 'created', url: 'ws://127.0.0.1', refusal: undefined });
  t.same(pings, [subscriptionAddress('localhost')]);
  first!.report('live');
  t.same(lost, [first], 'what was in flight may be lost');
  t.ok(nodes.wasLive('localhost'));
  first!.end('crashed');
  t.match(nodes.status, { status: 'failed', description: 'the protostub of localhost was lost: crashed' });
  nodes.retry();
  t.match(nodes.status, { status: 'disconnected', refusal: undefined });
  await turns();
  t.equal(stubs.deployed.length, 2);
  t.same(lost, [first, first], 'and is sent again when there is a stub');
  nodes.close();
  nodes.close();
  t.equal(nodes.deployed('localhost'), stubs.deployed[1] as unknown as Protostub);
  stubs.deployed[1]!.end('closed');
  t.throws(() => nodes.carrier('localhost', 'program'), { code: 'E_UNREACHABLE' });
  t.throws(() => nodes.carrier('elsewhere', 'program'), { code: 'E_UNREACHABLE' });
  t.equal(clock.pending, 0);
});

t.test('the stub of another domain is deployed when it is wanted, and its messages bring it back', async (t) => {
  const { clock, stubs, pings, lost, nodes } = messageNodes();
  const carrier = await nodes.carrier('elsewhere', 'program');
  t.equal(carrier, stubs.deployed[0] as unknown as Carrier);
  t.equal(nodes.carrier('elsewhere', 'program'), carrier);
  stubs.deployed[0]!.end('crashed');
  t.equal(nodes.deployed('elsewhere'), undefined);
  clock.advance(249);
  t.same(lost, []);
  clock.advance(1);
  t.same(lost, [carrier]);
  await turns();
  t.equal(stubs.deployed.length, 1);
  t.ok(await nodes.carrier('elsewhere', 'program'));
  t.same([stubs.deployed.length, pings], [2, []]);
  nodes.close();
});

t.test('a stub that cannot reach its message node is replaced by a newer version; others run on', async (t) => {
  const { clock, stubs, probes, nodes } = messageNodes();
  const origin = catalogueAddress('localhost', 'protocolstub', 'default');
  nodes.start();
  await turns();
  const [stub] = stubs.deployed;
  stub!.report('live', { probes: true });
  nodes.renew(origin);
  stub!.report('disconnected');
  t.equal(stub!.undeployed, false, 'it was live');
  nodes.networkChanged();
  t.same(probes, [stub!.address]);
  nodes.renew(origin);
  t.equal(stub!.undeployed, true, 'it is disconnected');
  stub!.end('undeployed');
  clock.advance(250);
  await turns();
  t.equal(stubs.deployed.length, 2);
  nodes.networkChanged();
  t.equal(probes.length, 1, 'the new stub has not said that it supports probes');
  nodes.renew(origin);
  stubs.deployed[1]!.report('in-progress');
  t.equal(stubs.deployed[1]!.undeployed, false);
  stubs.deployed[1]!.report('failed');
  t.equal(stubs.deployed[1]!.undeployed, true);
  nodes.close();
});

t.test('the P2P handler is kept deployed, and is missing where the domain names none', async (t) => {
  const clock = new ManualClock();
  const stubs = fakeStubs(clock);
  const ends: string[] = [];
  const ice = { current: { iceServers: [] as { urls: string }[] } };
  let descriptor: (() => unknown) = () => { throw new ProtoflyError('E_NOT_FOUND', 'no descriptor'); };
  const counts = { offers: 0, changes: 0 };
  const handler = new P2pHandler({
    clock, ice: ice as never, stubs: stubs as unknown as Protostubs,
    nodes: { subscribe: () => Promise.resolve(), refresh: () => undefined } as unknown as MessageNodes,
    catalogue: { describe: async () => { await Promise.resolve(); return descriptor() as never; } },
    admit: () => undefined, onStatus: () => undefined, onPort: () => undefined,
    onOffer: () => { counts.offers += 1; }, onChange: () => { counts.changes += 1; }, onEnd: (reason) => { ends.push(reason); },
    log: () => undefined,
  }, { runtime: RUNTIME, domain: 'localhost' });
  handler.start();
  await turns();
  t.match(handler, { isMissing: true, trouble: 'the P2P handler stub can\'t be deployed: no descriptor', stub: undefined, offer: undefined });
  handler.start();
  t.equal(handler.isMissing, true, 'until something else is known');
  await turns();
  descriptor = () => ({ p2pHandlerStub: HANDLER_STUB, p2pRequesterStub: REQUESTER_STUB });
  clock.advance(500);
  stubs.onDeploy = () => { ice.current = { iceServers: [{ urls: 'stun:127.0.0.1' }] }; };
  await turns();
  stubs.onDeploy = () => undefined;
  const [stub] = stubs.deployed;
  t.equal(handler.stub, stub as unknown as Protostub);
  t.match(handler, { isMissing: false, trouble: undefined, offer: { p2pHandler: handler.address, p2pRequester: REQUESTER_STUB } });
  t.same(stub!.configured, [ice.current], 'it is told of servers that came meanwhile');
  t.match(stub!.init, { kind: 'p2p-handler', origin: HANDLER_STUB, url: handler.address });
  stub!.end('crashed');
  t.same(ends, ['crashed']);
  t.equal(handler.trouble, 'the P2P handler stub ended: crashed');
  clock.advance(1000);
  await turns();
  t.equal(stubs.deployed.length, 2);
  t.same(stubs.deployed[1]!.configured, [], 'it knows them already');
  t.same([counts.offers, counts.changes], [1, 5], 'two failures, a stub, its end, another stub');
  handler.close();
  handler.close();
  stubs.deployed[1]!.end('closed');
  t.same(ends, ['crashed', 'closed']);
  t.equal(handler.stub, undefined);
  t.equal(clock.pending, 0);
});
