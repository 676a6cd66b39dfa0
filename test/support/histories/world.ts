import { ProtoflyError, type Address, type Message } from '../../../src/protocol/index.js';
import { ManualClock, turns } from '../manual-clock.js';
import { Disk } from './disk.js';
import { apart, Lane, numberOf, wordsOf, type Transit } from './lane.js';
import { Ledger, type Sent } from './ledger.js';
import { Machine } from './machine.js';
import { Node } from './node.js';
import { Runtime } from './runtime.js';
import { addressOf, type PartyName, type RuntimeName, type Settings } from './settings.js';
import { Stub } from './stub.js';

/** `a-b` leads from runtime a to runtime b, `a-node` and `node-b` to and from the message node. */
export type LaneName = `${PartyName}-${PartyName}`;

/** More sends than any history makes within one turn of the event loop: above it, something loops. */
const MAX_SENDS = 5000;
/** More rounds than it ever takes until nothing is in flight. */
const MAX_ROUNDS = 300;
/** Length of one step of time, in milliseconds, and the maximum number of steps for a long time. */
const STEP_MS = 500;
const MAX_STEPS = 60;
/** Maximum time until a message is given to an available lane, in milliseconds. */
const IDLE_MS = 2000;
/** A runtime may have this many timers, plus two for each waiting message. */
const MAX_TIMERS = 10;

/** A message in flight that outlives its lane. */
interface Late {
  readonly name: LaneName;
  readonly transit: Transit;
  readonly lane: Lane;
  /** Number of the receiving process. */
  readonly life: number;
}

/** Runtimes, a domain's message node, and the connections between them. */
export class World {
  readonly clock = new ManualClock();
  readonly ledger: Ledger;
  readonly node: Node;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  /** Called when a lane is given a message. */
  readonly onGiven: ((by: string) => void)[] = [];
  readonly #settings: Settings;
  readonly #direct = new Map<LaneName, Lane>();
  /** The current lane from the node to each runtime. */
  readonly #down = new Map<RuntimeName, Lane>();
  readonly #late: Late[] = [];
  readonly #ungiven = new Set<Sent>();
  #seen = 0;
  #generation = 0;
  #sends = 0;
  #nodeLives = 1;

  /** @param onLine called with each line of the trace */
  constructor(settings: Settings, onLine?: (line: string) => void) {
    this.#settings = settings;
    const now = (): number => this.clock.now();
    this.ledger = new Ledger({ now, onLine });
    const { ledger } = this;
    this.node = new Node({ machine: new Machine(this.clock), disk: new Disk(now), ledger, now, laneTo: (name) => this.#laneDown(name) }, settings);
    this.runtimes = new Map(settings.runtimes.map((name) => [name, this.#makeRuntime(name)]));
  }

  /** True if the history can't go on, because of an endless loop. */
  get isStuck(): boolean {
    return this.#sends > MAX_SENDS;
  }

  runtime(name: RuntimeName): Runtime {
    const runtime = this.runtimes.get(name);
    if (runtime === undefined) throw new Error(`there is no runtime ${name}`);
    return runtime;
  }

  party(name: PartyName): Runtime | Node {
    return name === 'node' ? this.node : this.runtime(name);
  }

  /** The lanes that exist now. */
  get lanes(): readonly LaneName[] {
    return [...this.#direct.keys(), ...this.#settings.runtimes.flatMap((name) => [`${name}-node`, `node-${name}`] as const)];
  }

  lane(name: LaneName): Lane | undefined {
    const [from, to] = endsOf(name);
    if (from === 'node') return this.#down.get(to as RuntimeName);
    return to === 'node' ? this.runtime(from).stub.lane : this.#direct.get(name);
  }

  /** Lets the next message on a lane arrive. @returns true if there was one */
  arrive(name: LaneName): boolean {
    const lane = this.lane(name);
    if (lane === undefined || lane.size === 0 || !this.#reaches(name)) return false;
    this.#handOver(name, lane, lane.take()!);
    return true;
  }

  /** Holds up the next message on a lane; it outlives the lane. */
  hold(name: LaneName): void {
    const lane = this.lane(name);
    const transit = lane?.take();
    if (lane !== undefined && transit !== undefined) this.#holdUp(name, lane, transit);
  }

  /** Lets the message held up longest arrive, unless its receiving process has ended. @returns true if there was one */
  arriveLate(): boolean {
    const [next] = this.#late.splice(0, 1);
    if (next === undefined) return false;
    const [, to] = endsOf(next.name);
    if (next.life === this.#lifeOf(to) && !this.party(to).machine.isStopped) this.#handOver(next.name, next.lane, next.transit);
    return true;
  }

  /** Connects two runtimes by P2P. */
  connect(x: RuntimeName, y: RuntimeName): void {
    if (x === y || this.#direct.has(`${x}-${y}`)) return;
    this.#generation += 1;
    for (const name of [`${x}-${y}`, `${y}-${x}`] as const) this.#direct.set(name, this.#makeLane(name, 'p2p'));
    this.ledger.note(() => `${x} and ${y} are connected`);
    for (const name of [x, y]) this.runtime(name).wake();
  }

  /** Ends a P2P connection. @param how fate of the messages in flight on it */
  cut(x: RuntimeName, y: RuntimeName, how: 'lost' | 'late'): void {
    const lanes = ([`${x}-${y}`, `${y}-${x}`] as const).flatMap((name) => {
      const lane = this.#direct.get(name);
      if (lane === undefined) return [];
      for (const transit of lane.clear()) if (how === 'late') this.#holdUp(name, lane, transit);
      lane.up = false;
      this.#direct.delete(name);
      return [[endsOf(name)[0] as RuntimeName, lane] as const];
    });
    for (const [name, lane] of lanes) this.runtime(name).lost(lane);
  }

  /** Ends a runtime's connection to the node. @param how fate of the messages in flight on it */
  leave(name: RuntimeName, how: 'lost' | 'late' = 'lost'): void {
    const { stub } = this.runtime(name);
    if (stub.state === 'absent') return;
    for (const lane of [`${name}-node`, `node-${name}`] as const)
      if (how === 'late' && stub.state === 'live') for (const transit of this.lane(lane)?.transits ?? []) this.#holdUp(lane, this.lane(lane)!, transit);
    stub.leave(this.#settings.abandons);
    this.node.detach(name);
  }

  /** Connects a runtime to the node again, if the node is up. */
  come(name: RuntimeName): void {
    const runtime = this.runtime(name);
    if (!this.node.isUp || runtime.stub.state === 'live') return;
    const before = runtime.stub.lane;
    runtime.stub.come();
    this.node.attach(name);
    runtime.lost(before);
    if (before !== runtime.stub.lane) runtime.wake();
  }

  /** Kills a runtime and restarts it on its disk, without connections. */
  kill(name: RuntimeName): void {
    const runtime = this.runtime(name);
    for (const other of this.runtimes.keys()) this.cut(name, other, 'lost');
    this.node.detach(name);
    runtime.stub.restart();
    runtime.kill();
  }

  killNode(): void {
    if (!this.node.isUp) return;
    this.#nodeLives += 1;
    this.node.kill();
    this.node.machine.goOn();
    for (const { stub } of this.runtimes.values()) stub.leave(this.#settings.abandons);
  }

  /** Ends every process. */
  end(): void {
    for (const runtime of this.runtimes.values()) runtime.end();
    this.node.kill();
  }

  /** Lets all messages in flight arrive, and those that follow from them, until none are left. */
  async flow(): Promise<void> {
    let idle = 0;
    for (let round = 0; idle < 2 && !this.isStuck; round += 1) {
      if (round > MAX_ROUNDS) { this.ledger.fault('it never gets quiet'); return; }
      let moved = false;
      for (const name of this.lanes) while (this.arrive(name)) moved = true;
      await this.turn();
      idle = moved ? 0 : idle + 1;
    }
  }

  /** Lets time pass. */
  async pass(milliseconds: number, { flowing = false }: { readonly flowing?: boolean } = {}): Promise<void> {
    const step = Math.max(STEP_MS, Math.ceil(milliseconds / MAX_STEPS));
    for (let left = milliseconds; left > 0 && !this.isStuck; left -= step) {
      this.clock.advance(Math.min(left, step));
      await this.turn();
      if (flowing) await this.flow();
    }
  }

  /** Runs everything that needs only a turn of the event loop. */
  async turn(): Promise<void> {
    if (!this.isStuck) this.#sends = 0;
    await turns(1);
    this.#look();
  }

  /** Looks for faults that show at once. */
  #look(): void {
    const { ledger } = this;
    for (; this.#seen < ledger.sent.length; this.#seen += 1) this.#ungiven.add(ledger.sent[this.#seen]!);
    for (const sent of this.#ungiven) {
      // The answer to a message that shares its id counts for the first one.
      const isAnswered = ledger.sent.some(({ by, to, id, answers }) => by === sent.by && to === sent.to && id === sent.id && answers.length > 0);
      if (sent.store || sent.givenAt !== undefined || isAnswered || sent.isOrphan) { this.#ungiven.delete(sent); continue; }
      if (!this.#couldGo(sent)) sent.idleSince = undefined;
      else if (this.clock.now() - (sent.idleSince ??= this.clock.now()) > IDLE_MS) {
        ledger.fault(`#${String(sent.n)} was given to nobody for ${String(IDLE_MS)} ms, though there is a good lane`);
        this.#ungiven.delete(sent);
      }
    }
    for (const { name, clock, waiting } of this.runtimes.values())
      if (clock.pending > MAX_TIMERS + 2 * waiting) ledger.fault(`runtime ${name} has more timers than there is use for`);
  }

  /** True if a lane would take the message. */
  #couldGo({ by, to }: Sent): boolean {
    const { stub, machine } = this.runtime(by);
    const lanes = [stub.lane, this.#direct.get(`${by}-${to}`)];
    return !machine.isStopped && stub.state === 'live' && lanes.every((lane) => lane === undefined || (lane.up && !lane.isFull));
  }

  #handOver(name: LaneName, lane: Lane, transit: Transit): void {
    const [from, to] = endsOf(name);
    this.ledger.note(() => `${name} brings ${wordsOf(transit.message)}`);
    if (to === 'node') this.node.receive(from as RuntimeName, transit);
    else this.runtime(to).accept(transit.message, lane.kind === 'p2p' ? { path: 'p2p', generation: lane.generation } : { path: 'msg-node' });
  }

  #holdUp(name: LaneName, lane: Lane, transit: Transit): void {
    this.#late.push({ name, transit, lane, life: this.#lifeOf(endsOf(name)[1]) });
  }

  readonly #lifeOf = (party: PartyName): number => (party === 'node' ? this.#nodeLives : this.runtime(party).life);

  /** True if messages on a lane can arrive now. */
  #reaches(name: LaneName): boolean {
    const [from, to] = endsOf(name);
    if (this.party(to).machine.isStopped) return false;
    if (to === 'node') return this.node.isUp && this.runtime(from as RuntimeName).stub.state === 'live';
    return from !== 'node' || this.runtime(to).stub.state === 'live';
  }

  #makeRuntime(name: RuntimeName): Runtime {
    const machine = new Machine(this.clock);
    const stub = new Stub({
      makeLane: () => this.#makeLane(`${name}-node`, 'msg-node'),
      now: () => this.clock.now(),
      later: (run, milliseconds) => { machine.setTimeout(run, milliseconds); },
      onRefused: (refusal) => { this.runtime(name).accept(refusal, { path: 'msg-node' }); },
    });
    return new Runtime(name, {
      machine, stub, disk: new Disk(() => this.clock.now()), ledger: this.ledger,
      direct: (to) => this.#direct.get(`${name}-${to}`),
      hosts: (address) => this.#hosts(address),
    }, this.#settings);
  }

  #hosts(address: Address): readonly RuntimeName[] {
    return this.#settings.runtimes.filter((name) => addressOf(name, this.#settings) === address);
  }

  #laneDown(name: RuntimeName): Lane {
    this.#generation += 1;
    const lane = this.#makeLane(`node-${name}`, 'msg-node');
    this.#down.set(name, lane);
    return lane;
  }

  #makeLane(name: LaneName, kind: Lane['kind']): Lane {
    const [from] = endsOf(name);
    return new Lane({ now: () => this.clock.now(), onSend: (lane, message) => { this.#given(from, lane, message); } }, { name, kind, room: this.#settings.limits.laneRoom ?? Infinity, generation: this.#generation });
  }

  #given(from: PartyName, lane: Lane, message: Message): void {
    this.#sends += 1;
    if (this.#sends > MAX_SENDS) throw new ProtoflyError('E_LINK_CLOSED', 'this goes on without end');
    this.ledger.note(() => `${lane.name} is given ${wordsOf(message)}`);
    if (from === 'node' || !lane.up) return;
    for (const one of message.type === 'response' ? [] : apart(message)) {
      const sent = this.ledger.of(numberOf(one));
      if (sent !== undefined) sent.givenAt ??= this.clock.now();
    }
    if (lane.kind === 'msg-node') this.runtime(from).stub.sent();
    for (const run of this.onGiven.splice(0)) run(from);
  }
}

const endsOf = (name: LaneName): readonly [from: PartyName, to: PartyName] => name.split('-') as [PartyName, PartyName];
