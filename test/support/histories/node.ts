import { Mailbox } from '../../../src/domain-server/shard/mailbox/index.js';
import {
  asProtoflyError, expectationOf, isResponse, ProtoflyError, refuse, respond, type Address, type ErrorCode, type Message, type Request, type Timer,
} from '../../../src/protocol/index.js';
import type { Disk } from './disk.js';
import { numberOf, type Lane, type Transit } from './lane.js';
import type { Ledger } from './ledger.js';
import { LifeClock, type Machine } from './machine.js';
import { addressOf, given, type RuntimeName, type Settings } from './settings.js';

export interface NodeComponents {
  readonly machine: Machine;
  readonly disk: Disk;
  readonly ledger: Ledger;
  readonly now: () => number;
  /** Returns a lane to a runtime; a new one for each connection. */
  readonly laneTo: (name: RuntimeName) => Lane;
}

/** Time for which a session outlives its runtime's connection, in milliseconds. */
const SESSION_MS = 60_000;
/** Tolerance for a message that is given shortly before its time is up and is then in flight, in milliseconds. */
const TTL_SLACK_MS = 2000;

interface Session {
  readonly address: Address;
  readonly runtime: Address;
  state: 'attached' | 'away' | 'ended';
  lane: Lane;
  /** Messages that wait for the runtime. It may already have those that were in flight on an ended connection. */
  waiting: { readonly message: Message; readonly inDoubt: boolean }[];
  timer: Timer | undefined;
}

/** Error codes of the node's refusals for failures of its own. */
const TOLD: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['E_LINK_CLOSED', 'E_QUOTA', 'E_UNREACHABLE']);

/** The message node of the domain: sessions modelled on src/domain-server/message-node, and the real mailbox. */
export class Node {
  readonly machine: Machine;
  readonly disk: Disk;
  readonly #components: NodeComponents;
  readonly #settings: Settings;
  readonly #sessions = new Map<RuntimeName, Session>();
  /** Time already passed when a message got to the mailbox, by its number. */
  readonly #sentAt = new Map<number, number>();
  #lives = 0;
  #clock: LifeClock;
  #mailbox: Mailbox;
  #refused = 0;
  isUp = true;

  constructor(components: NodeComponents, settings: Settings) {
    this.#components = components;
    this.#settings = settings;
    this.machine = components.machine;
    this.disk = components.disk;
    for (const name of settings.runtimes) {
      this.#sessions.set(name, { address: addressOf(name, settings), runtime: `hyperty-runtime://example.com/${name}` as Address, state: 'attached', lane: components.laneTo(name), waiting: [], timer: undefined });
    }
    [this.#clock, this.#mailbox] = this.#start();
  }

  /** Number of messages in the mailbox. */
  get mail(): number {
    return this.#mailbox.status.messages;
  }

  /** Number of messages that their receivers have refused for good. */
  get refused(): number {
    return this.#refused + this.#mailbox.status.refused;
  }

  get timers(): number {
    return this.#clock.pending;
  }

  /** Handles a message from a runtime. */
  receive(name: RuntimeName, { message, at }: Transit): void {
    if (isResponse(message)) {
      for (const heard of this.#mailbox.settle(message)) for (const session of this.#at(heard.to)) this.#hand(session, heard);
    } else this.#pass(name, message, at);
  }

  /** Connects a runtime, perhaps a new process of it. */
  attach(name: RuntimeName): void {
    const session = this.#sessions.get(name)!;
    session.timer?.cancel();
    session.timer = undefined;
    if (session.state === 'attached') session.lane.clear();
    session.state = 'attached';
    session.lane = this.#components.laneTo(name);
    if (this.#owns(name)) {
      this.#mailbox.renew(session.address);
      this.#mailbox.deliver(session.address);
    }
    for (const { message } of session.waiting.splice(0)) this.#hand(session, message);
  }

  /** Ends a runtime's connection. Its session waits. */
  detach(name: RuntimeName): void {
    const session = this.#sessions.get(name)!;
    if (session.state !== 'attached') return;
    const left = session.lane.clear();
    if (this.#settings.reclaims) session.waiting = [...left.map(({ message }) => ({ message, inDoubt: true })), ...session.waiting];
    session.state = 'away';
    session.timer = this.#clock.setTimeout(() => { this.end(name); }, SESSION_MS);
  }

  /** Ends a runtime's session. Senders that wait for its answer get a refusal. */
  end(name: RuntimeName): void {
    this.detach(name);
    const session = this.#sessions.get(name)!;
    session.timer?.cancel();
    session.state = 'ended';
    for (const { message, inDoubt } of session.waiting.splice(0)) {
      if (isResponse(message)) continue;
      const refusal = refuse(message, new ProtoflyError('E_UNAVAILABLE', `the runtime of ${String(message.to)} did not come back`, { uncertain: inDoubt }));
      for (const asker of this.#at(message.from)) this.#hand(asker, refusal);
    }
  }

  /** Kills the process. Connections and messages in memory are lost. */
  kill(): void {
    this.#refused += this.#mailbox.status.refused;
    this.#clock.end();
    this.disk.lose();
    this.isUp = false;
    for (const session of this.#sessions.values()) {
      session.lane.clear();
      session.waiting = [];
      session.timer?.cancel();
      if (session.state === 'attached') session.state = 'away';
    }
  }

  /** Starts a new process on the same disk. */
  start(): void {
    if (this.isUp) return;
    this.isUp = true;
    [this.#clock, this.#mailbox] = this.#start();
    for (const [name, session] of this.#sessions) if (session.state === 'away') session.timer = this.#clock.setTimeout(() => { this.end(name); }, SESSION_MS);
  }

  #start(): [LifeClock, Mailbox] {
    const { machine, disk, ledger } = this.#components;
    const { mailPerReceiver: perReceiver, mailBytes: bytesPerReceiver, mailRetryMs: retryMs } = this.#settings.limits;
    this.#lives += 1;
    const life = this.#lives;
    const clock = new LifeClock(machine);
    const mailbox = new Mailbox({
      store: disk.open(), clock, acknowledges: () => true,
      log: (text) => { ledger.note(() => `node: ${text}`); },
      give: (message, to) => life === this.#lives && this.#give(message, to),
    }, { epoch: `node${String(life)}`, limits: given({ perReceiver, bytesPerReceiver, retryMs, sharePerAddress: 1 }) });
    mailbox.load();
    return [clock, mailbox];
  }

  #pass(name: RuntimeName, message: Request, at: number): void {
    const to = message.to as Address;
    const [session] = this.#at(to);
    if (session === undefined) { this.#refuse(name, message, new ProtoflyError('E_NOT_FOUND', `nobody has the address ${to}`)); return; }
    if (wantsKeeping(message) && this.#isToBeKept(message.from, session)) { this.#keep(name, message, to, at); return; }
    if (session.state === 'ended') this.#refuse(name, message, new ProtoflyError('E_UNAVAILABLE', `the runtime of ${to} is not connected`));
    else this.#hand(session, this.#mailbox.behindMail(message, to));
  }

  #isToBeKept(from: Address, { state, address }: Session): boolean {
    if (state !== 'attached' || this.#mailbox.isHeld(address)) return true;
    if (this.#mailbox.hasFor(address)) this.#mailbox.deliver(address);
    return this.#mailbox.hasFor(address, from);
  }

  #keep(name: RuntimeName, message: Request, to: Address, at: number): void {
    const life = this.#lives;
    const mailbox = this.#mailbox;
    const { runtime } = this.#sessions.get(name)!;
    const refused = (thrown: unknown): void => { if (life === this.#lives && this.isUp) this.#refuse(name, message, asProtoflyError(thrown)); };
    try {
      mailbox.keep(message, to, { runtime }).then(() => {
        if (life !== this.#lives || !this.isUp) return;
        if (expectationOf(message) === 'receipt') this.#hand(this.#sessions.get(name)!, respond(message, 202, { stored: 'domain' }, to));
      }, refused);
      this.#components.ledger.note(() => `node keeps #${String(numberOf(message))}`);
      const n = numberOf(message);
      if (!this.#sentAt.has(n)) this.#sentAt.set(n, this.#components.now() - at);
    } catch (thrown) {
      refused(thrown);
    }
  }

  /** Gives mail to its receiver's session. */
  #give(message: Message, to: Address): boolean {
    const [session] = this.#at(to);
    if (session?.state !== 'attached' || !this.isUp) return false;
    this.#checkTime(numberOf(message));
    this.#hand(session, message);
    return true;
  }

  /** Checks that expired mail isn't given. Time before the mail reached the domain doesn't count: the domain can't know it. */
  #checkTime(n: number): void {
    const { ledger, now } = this.#components;
    const sent = ledger.of(n);
    if (sent?.ttl === undefined) return;
    const age = now() - sent.at - (this.#sentAt.get(n) ?? 0);
    const late = age - sent.ttl * 1000 - ledger.shiftsSince(sent.at) - TTL_SLACK_MS;
    if (late > 0) ledger.fault(`#${String(n)}, to be kept for ${String(sent.ttl)} s, was given by the domain after ${String(age / 1000)} s`);
  }

  #hand(session: Session, message: Message): void {
    if (session.state === 'attached') void session.lane.send(message);
    else if (session.state === 'away') session.waiting.push({ message, inDoubt: false });
  }

  #refuse(name: RuntimeName, message: Request, error: ProtoflyError): void {
    const session = this.#sessions.get(name)!;
    const told = error.status < 500 || TOLD.has(error.code) ? error : new ProtoflyError(error.code, 'the domain server failed');
    this.#components.ledger.note(() => `node refuses #${String(numberOf(message))}: ${error.code} ${error.message}`);
    if (session.state === 'attached') void session.lane.send(refuse(message, told));
  }

  /** Returns the sessions that have an address, the owner first. */
  #at(address: Address): readonly Session[] {
    return [...this.#sessions.values()].filter((session) => session.address === address);
  }

  #owns(name: RuntimeName): boolean {
    const session = this.#sessions.get(name)!;
    return this.#at(session.address)[0] === session;
  }
}

const wantsKeeping = (message: Request): boolean => message.body?.store === true;

