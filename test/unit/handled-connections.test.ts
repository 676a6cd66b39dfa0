import t from 'tap';
import { memoryPair } from '../../src/link/memory/index.js';
import type { Link } from '../../src/link/index.js';
import { isWithin, parseAddress, type Address, type Message, type Response } from '../../src/protocol/index.js';
import type { Hosts, Intake } from '../../src/runtime/delivery/index.js';
import { Admission } from '../../src/runtime/p2p/admission.js';
import { ConnectionList } from '../../src/runtime/p2p/connection-list.js';
import { HandledConnections } from '../../src/runtime/p2p/handled-connections.js';
import { P2pConnection } from '../../src/runtime/p2p/p2p-connection.js';
import type { Protostub, StatusEvent } from '../../src/runtime/stubs/protostubs.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const B = parseAddress('hyperty-runtime://localhost/b');
const A = parseAddress('hyperty-runtime://localhost/a');
const C = parseAddress('hyperty-runtime://localhost/c');
const HANDLER = parseAddress(`${B}/p2phandler/1`);
const ALICE = parseAddress('hyperty://localhost/alice');
const CAROL = parseAddress('hyperty://localhost/carol');
const BOB = parseAddress('hyperty://localhost/bob');
const port = (n: number): Address => parseAddress(`${HANDLER}/${String(n)}`);
const quiet = (): void => undefined;

/** The part of bob's runtime that handles the connections of its handler stub. The test plays the stub. */
const world = () => {
  const clock = new ManualClock();
  const log: string[] = [];
  const accepted: { readonly value: unknown; readonly by: string }[] = [];
  const faults: string[] = [];
  /** Messages given to the stub on its main channel. */
  const carried: Message[] = [];
  const hosts: Hosts = { hostOf: (address) => Promise.resolve(address === ALICE ? A : address === CAROL ? C : undefined) };
  const intake: Intake = {
    isOwn: (address) => isWithin(address, B) || address === BOB,
    accept: (message, { name }) => { accepted.push({ value: message.body?.value, by: name }); },
    lost: quiet,
  };
  const admission = new Admission({
    hosts, intake, log: (_level, text) => { log.push(text); },
  });
  const stub = { address: HANDLER, send: (message: Message) => { carried.push(message); }, refuse: (_message: Message, why: string) => { faults.push(why); } } as unknown as Protostub;
  const list: ConnectionList = new ConnectionList({ clock, log: quiet, intake, onOver: (connection) => { handled.over(connection); } });
  const handled: HandledConnections = new HandledConnections({ clock, list, admission, isInvited: () => true, handler: () => stub, hosts, intake }, { runtime: B, handler: HANDLER });
  let last = 0;
  const message = (value: unknown, from: Address = ALICE): Message => ({ id: (last += 1), type: 'create', from, to: BOB, body: { value } });
  /** @param remoteRuntime absent for the stub's own state */
  const report = (status: StatusEvent['status'], remoteRuntime?: Address, more: Partial<StatusEvent> = {}): void => {
    handled.report({ type: 'update', status, details: {}, ...(remoteRuntime === undefined ? {} : { remoteRuntime }), ...more });
  };
  const states = (): string[] => list.all().map(({ remoteRuntime, status, address }) => `${remoteRuntime.slice(-1)} ${status} ${address.slice(HANDLER.length + 1)}`);
  return { clock, log, accepted, faults, carried, admission, stub, list, handled, message, report, states };
};

/** Opens a port: both ends, and the messages that came to the stub's end. */
const open = (): { readonly near: Link<Message>; readonly far: Link<Message>; readonly came: Message[] } => {
  const [near, far] = memoryPair<Message>();
  const came: Message[] = [];
  far.receive((message) => { came.push(message); });
  return { near, far, came };
};

const bodyOf = (message: Message | undefined): Response['body'] => (message as Response).body;

t.test('STB-7 a connection that is reported with value and resource alone stands under its runtime, whichever steps are reported', async (t) => {
  for (const steps of [['created', 'in-progress', 'live'], ['created', 'live'], ['in-progress', 'live'], ['live']] as const) {
    const { report, list, accepted, handled, message, stub, states, carried } = world();
    for (const status of steps) report(status, A);
    t.same(states(), ['a live shared/1'], steps.join(', '));
    await handled.admit(message('hello'), stub);
    await handled.admit(message('again', parseAddress(`${A}/program`)), stub);
    t.same(accepted, ['hello', 'again'].map((value) => ({ value, by: `${HANDLER}/shared/1` })));
    void list.live(A)?.send(message('back', BOB));
    t.match(carried, [{ from: BOB, body: { value: 'back', peer: A } }], 'the stub is told for which connection');
    report('disconnected', A, { description: 'gone' });
    t.same(states(), ['a disconnected shared/1']);
    report('live', A);
    t.same(states(), ['a live shared/2'], 'and comes again');
  }
});

t.test('STB-7 the next generation beside a connection is under the same name: the end of one isn\'t that of both', (t) => {
  const { report, states } = world();
  report('created', A);
  report('live', A);
  report('created', A);
  report('in-progress', A);
  report('live', A);
  report('disconnected', A);
  t.same(states(), ['a live shared/1']);
  report('disconnected', A);
  t.same(states(), ['a disconnected shared/1']);
  t.end();
});

t.test('STB-7 several connections share the stub\'s channel; senders tell them apart', async (t) => {
  const { report, accepted, handled, message, stub } = world();
  report('live', A);
  report('live', C);
  await handled.admit(message(1), stub);
  await handled.admit(message(2, CAROL), stub);
  await handled.admit(message(3), stub);
  t.same(accepted, [{ value: 1, by: `${HANDLER}/shared/1` }, { value: 2, by: `${HANDLER}/shared/2` }, { value: 3, by: `${HANDLER}/shared/1` }]);
});

t.test('STB-8 what comes over a connection that isn\'t known is refused with the reason, counted and logged', async (t) => {
  const { report, accepted, carried, handled, message, stub, admission, log, faults } = world();
  report('live', C);
  await handled.admit(message('from nowhere'), stub);
  t.match(carried, [{ type: 'response', from: BOB, to: ALICE, body: { code: 503, error: 'E_UNREACHABLE', description: `no P2P connection with ${A} is known here`, peer: A } }]);
  report('disconnected', C);
  await handled.admit(message('too late', CAROL), stub);
  await handled.admit(message('from no runtime', parseAddress('hyperty://localhost/nobody')), stub);
  t.match(carried.slice(1).map((refusal) => bodyOf(refusal).description), [`no P2P connection with ${C} is known here`, 'no P2P connection with the runtime of hyperty://localhost/nobody is known here']);
  t.equal(log.filter((line) => line.startsWith(`${HANDLER} brought a create from `)).length, 3);
  t.equal(admission.refused, 3);
  t.same([accepted, faults], [[], []]);
  await handled.admit({ id: 1, type: 'response', from: ALICE, to: BOB, body: { code: 200 } }, stub);
  t.equal(carried.length, 3, 'a response is not answered');
  await handled.admit(message('forged', BOB), stub);
  await handled.admit(message('forged', parseAddress('domain://registry.localhost')), stub);
  t.equal(faults.length, 2, 'to speak for this runtime or a domain is a fault of the stub');
});

t.test('STB-8 reports that are of no use are said to be', (t) => {
  const { report, states } = world();
  t.throws(() => { report('created', ALICE); }, { code: 'E_MESSAGE', message: `a connection is reported with ${ALICE}, which is no other runtime` });
  t.throws(() => { report('created', B); }, { code: 'E_MESSAGE' });
  t.throws(() => { report('created', A, { connection: parseAddress(`${B}/p2phandler/2/1`) }); }, { code: 'E_MESSAGE' });
  t.throws(() => { report('live', undefined, { connection: port(1) }); }, { code: 'E_MESSAGE' });
  t.throws(() => { report('live', A, { connection: port(1) }); }, { code: 'E_NOT_FOUND', message: `${port(1)} is reported as live, and was never announced` });
  report('failed', A);
  report('live');
  t.same(states(), []);
  t.end();
});

t.test('P2P-6 glare counts for connections without an address, too', async (t) => {
  const { report, list, clock, states } = world();
  const own = list.add(new P2pConnection({ clock }, { address: parseAddress(`${B}/p2prequester/1`), stub: parseAddress(`${B}/p2prequester/1`), role: 'requester', remoteRuntime: C, generation: 1 }));
  t.throws(() => { report('created', C); }, { code: 'E_CONFLICT' }, 'this runtime\'s URL is the lower one');
  list.step(own, 'in-progress');
  list.step(own, 'failed');
  report('in-progress', C);
  report('live', C);
  t.same(states(), ['c live shared/1']);
});

t.test('STB-5 messages of a port wait for the announcement of its connection, and stay in order', async (t) => {
  const { handled, report, accepted, message, clock, states } = world();
  const { near, far, came } = open();
  handled.port(port(1), near);
  for (let value = 1; value <= 3; value += 1) void far.send(message(value, parseAddress(`${A}/program`)));
  await turns(3);
  t.same(accepted, []);
  report('created', A, { connection: port(1), details: { generation: 4 } });
  report('in-progress', A, { connection: port(1) });
  report('live', A, { connection: port(1) });
  void far.send(message(4, parseAddress(`${A}/program`)));
  await turns(5);
  t.same(accepted, [1, 2, 3, 4].map((value) => ({ value, by: port(1) })));
  t.same([states(), came, clock.pending], [['a live 1'], [], 0]);
});

t.test('STB-8 messages of a port that is never announced, or whose connection is over, are refused', async (t) => {
  const { handled, report, message, clock, accepted, log } = world();
  const one = open();
  handled.port(port(1), one.near);
  void one.far.send(message('hello'));
  await turns(3);
  t.same(one.came, []);
  clock.advance(2000);
  await turns(3);
  void one.far.send(message('and again'));
  await turns(3);
  t.same(one.came.map((refusal) => [bodyOf(refusal).code, bodyOf(refusal).description]), [[503, `no P2P connection with ${A} is known here`], [503, `no P2P connection with ${A} is known here`]]);
  report('created', A, { connection: port(2) });
  report('failed', A, { connection: port(2) });
  const two = open();
  handled.port(port(2), two.near);
  void two.far.send(message('hello'));
  clock.advance(2000);
  await turns(3);
  t.equal(two.came.length, 1);
  t.ok(log.some((line) => line.startsWith(`${port(2)}, which is failed, brought a create`)), log.join('\n'));
  t.same(accepted, []);
  report('created', A, { connection: port(1) });
  void one.far.send(message('announced after all'));
  await turns(3);
  t.same(accepted, [{ value: 'announced after all', by: port(1) }]);
  handled.close();
  t.equal(clock.pending, 0);
});

t.test('STB-7 a stub that has ports, and doesn\'t say whose, is understood by its senders', async (t) => {
  const { handled, report, message, clock, accepted, list, carried } = world();
  const { near, far, came } = open();
  handled.port(port(1), near);
  report('live', A);
  void far.send(message('hello'));
  clock.advance(2000);
  await turns(3);
  t.same(accepted, [{ value: 'hello', by: `${HANDLER}/shared/1` }]);
  void list.live(A)?.send(message('back', BOB));
  await turns(3);
  t.match(came, [{ body: { value: 'back' } }]);
  t.same(carried, []);
  await far.close();
  await turns(3);
  t.equal(list.live(A), undefined);
});
