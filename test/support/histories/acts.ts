import type { DiskState } from './disk.js';
import type { Pace } from './program.js';
import type { Wishes } from './runtime.js';
import type { PartyName, RuntimeName } from './settings.js';
import type { LaneName, World } from './world.js';

/** Time without a message after which the next one begins a new flow, in milliseconds. */
const QUIET_MS = 1500;

/** All possible acts of a history. */
export class Acts {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** A program sends `count` messages. */
  send(by: RuntimeName, to: RuntimeName, wishes: Wishes = {}, count = 1): void {
    if (this.#isStopped(by)) return;
    for (let n = 0; n < count; n += 1) this.#world.runtime(by).send(to, wishes);
  }

  /** A program sends a message some microtasks after the next message of its runtime has left. */
  sendAfter(by: RuntimeName, to: RuntimeName, microtasks: number, wishes: Wishes = {}): void {
    const { onGiven } = this.#world;
    const send = async (): Promise<void> => {
      for (let n = 0; n < microtasks; n += 1) await undefined;
      this.send(by, to, wishes);
    };
    const wait = (from: string): void => {
      if (from === by) void send();
      else onGiven.push(wait);
    };
    onGiven.push(wait);
  }

  arrive(lane: LaneName, count = 1): void {
    for (let n = 0; n < count; n += 1) this.#world.arrive(lane);
  }

  lose(lane: LaneName, count = 1): void {
    for (let n = 0; n < count; n += 1) if (this.#world.lane(lane)?.take() !== undefined) this.#world.ledger.note(() => `${lane} loses one`);
  }

  /** The next message of a lane will come late. */
  hold(lane: LaneName): void {
    this.#world.hold(lane);
  }

  late(): void {
    this.#world.arriveLate();
  }

  repeat(lane: LaneName): void {
    this.#world.lane(lane)?.repeat();
  }

  /** All messages in flight arrive. */
  flow(): Promise<void> {
    return this.#world.flow();
  }

  /** Time passes, and nothing arrives. */
  wait(milliseconds: number): Promise<void> {
    return this.#world.pass(milliseconds);
  }

  /** Time passes, and everything arrives at once. */
  run(milliseconds: number): Promise<void> {
    return this.#world.pass(milliseconds, { flowing: true });
  }

  /** A program sends stored messages, with a pause after each. */
  async gaps(by: RuntimeName, to: RuntimeName, count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      this.send(by, to, { store: true });
      await this.#world.flow();
      await this.#world.pass(QUIET_MS);
    }
  }

  connect(x: RuntimeName, y: RuntimeName): void {
    if (!this.#isStopped(x) && !this.#isStopped(y)) this.#world.connect(x, y);
  }

  cut(x: RuntimeName, y: RuntimeName, how: 'lost' | 'late' = 'lost'): void {
    this.#world.cut(x, y, how);
  }

  /** A P2P connection ends unnoticed. */
  close(x: RuntimeName, y: RuntimeName): void {
    for (const name of [`${x}-${y}`, `${y}-${x}`] as const) {
      const lane = this.#world.lane(name);
      if (lane !== undefined) lane.up = false;
    }
  }

  /** A runtime loses its connection to the node. */
  leave(name: RuntimeName, how: 'lost' | 'late' = 'lost'): void {
    this.#world.leave(name, how);
  }

  come(name: RuntimeName): void {
    if (!this.#isStopped(name) && !this.#isStopped('node')) this.#world.come(name);
  }

  /** A runtime's message-node stub ends. */
  endStub(name: RuntimeName): void {
    this.#world.leave(name);
    this.#world.runtime(name).stub.end();
  }

  /** The node gives up the session of a runtime that is away. */
  endSession(name: RuntimeName): void {
    if (this.#world.node.isUp && this.#world.runtime(name).stub.state !== 'live') this.#world.node.end(name);
  }

  kill(name: RuntimeName): void {
    this.#world.kill(name);
  }

  killNode(): void {
    this.#world.killNode();
  }

  startNode(): void {
    this.#world.node.start();
  }

  disk(party: PartyName, state: DiskState): void {
    this.#world.party(party).disk.become(state);
  }

  /** A machine's date is moved. */
  setClock(party: PartyName, by: number): void {
    this.#world.party(party).machine.setBy(by);
    this.#world.ledger.shifted(by);
  }

  stop(party: PartyName): void {
    this.#world.party(party).machine.stop();
  }

  goOn(party: PartyName): void {
    this.#world.party(party).machine.goOn();
  }

  /** A machine sleeps; the others don't. */
  async sleep(party: PartyName, milliseconds: number): Promise<void> {
    const { machine } = this.#world.party(party);
    if (machine.isStopped) return;
    machine.stop();
    this.#world.ledger.shifted(milliseconds);
    await this.#world.pass(milliseconds);
    machine.wake(milliseconds);
  }

  /** Time passes while nothing runs anywhere. */
  stall(milliseconds: number): void {
    this.#world.clock.stall(milliseconds);
    this.#world.clock.advance(0);
    this.#world.ledger.shifted(milliseconds);
  }

  attach(name: RuntimeName, pace: Pace): void {
    if (!this.#isStopped(name)) this.#world.runtime(name).attach(pace);
  }

  detach(name: RuntimeName): void {
    if (!this.#isStopped(name)) this.#world.runtime(name).detach();
  }

  take(name: RuntimeName, count = 1): void {
    if (!this.#isStopped(name)) this.#world.runtime(name).take(count);
  }

  #isStopped(party: PartyName): boolean {
    return this.#world.party(party).machine.isStopped;
  }
}

/** One act: the name of a method of `Acts`, and its arguments. */
export type Act = { readonly [Name in keyof Acts]: readonly [Name, ...Parameters<Acts[Name]>] }[keyof Acts];

export const perform = async (acts: Acts, [name, ...values]: Act): Promise<void> => {
  await (acts[name] as (...values: readonly unknown[]) => void | Promise<void>).apply(acts, values);
};
