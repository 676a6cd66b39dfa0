import {
  asProtoflyError, isBatch, isResponse, isSuccess, ProtoflyError, receiptIn, refuse, unbatched, withIds, withoutReceipt, type Address, type Message, type Request, type Response, type ReceivedVia,
} from '../../../src/protocol/index.js';
import { Outgoing, Receipts, type Carrier, routeRequest, type RouteRequest, type Routes } from '../../../src/runtime/delivery/index.js';
import { Inbox, type KeptCheckpoint, type Stored } from '../../../src/runtime/hyperties/inbox/index.js';
import { Outbox, type KeptMessage, type KeptPair } from '../../../src/runtime/delivery/outbox/index.js';
import type { Disk } from './disk.js';
import { numberOf, type Lane } from './lane.js';
import { POSITION_MS, type Ledger } from './ledger.js';
import { LifeClock, type Machine } from './machine.js';
import { StreamMemory } from './memory.js';
import { Program, type Pace } from './program.js';
import { addressOf, given, type RuntimeName, type Settings } from './settings.js';
import type { Stub } from './stub.js';

export interface RuntimeComponents {
  readonly machine: Machine;
  readonly disk: Disk;
  readonly ledger: Ledger;
  readonly stub: Stub;
  /** Returns the lane of a live P2P connection from this runtime to another. */
  readonly direct: (to: RuntimeName) => Lane | undefined;
  /** Returns the runtimes that have an address, the owner first. */
  readonly hosts: (address: Address) => readonly RuntimeName[];
}

/** The parts that live as long as one process of a runtime. */
interface Life {
  readonly number: number;
  readonly clock: LifeClock;
  readonly outgoing: Outgoing;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  ended: boolean;
}

/** A program's options for sending a message. */
export interface Wishes {
  readonly store?: boolean;
  readonly ttl?: number;
  readonly p2p?: false;
  /** Size of its body, in characters. */
  readonly size?: number;
  /** Batched with other messages of this turn. */
  readonly batches?: boolean;
  /** Without a receipt; only for stored messages. */
  readonly quiet?: boolean;
  /** Reuses the id of an earlier message, given by its number in the ledger. */
  readonly idOf?: number;
}

/** A runtime with one hyperty: the real parts of delivery, composed as in src/runtime/parts.ts. */
export class Runtime {
  readonly address: Address;
  readonly #components: RuntimeComponents;
  readonly #settings: Settings;
  #lives = 0;
  #life: Life;
  #program: Program | undefined;
  #memories = new Map<Address, StreamMemory>();
  /** Number of messages that earlier processes gave up. */
  #givenUp = 0;

  constructor(readonly name: RuntimeName, components: RuntimeComponents, settings: Settings) {
    this.#components = components;
    this.#settings = settings;
    this.address = addressOf(name, settings);
    this.#life = this.#start();
  }

  get machine(): Machine {
    return this.#components.machine;
  }

  get disk(): Disk {
    return this.#components.disk;
  }

  get stub(): Stub {
    return this.#components.stub;
  }

  get life(): number {
    return this.#lives;
  }

  get clock(): LifeClock {
    return this.#life.clock;
  }

  get hasProgram(): boolean {
    return this.#program !== undefined;
  }

  /** Number of messages in its outbox and inbox. */
  get waiting(): number {
    return this.#life.outbox.waiting.messages + this.#life.inbox.waiting.messages;
  }

  /** Number of messages that its outbox gave up after their senders were told that they are kept. */
  get refused(): number {
    return this.#givenUp + this.#life.outbox.givenUp.refused;
  }

  /** Sends a program's message, resolved as in src/runtime/registry/router.ts. @returns its number */
  send(to: RuntimeName, wishes: Wishes): number {
    const { ledger } = this.#components;
    const { store = false, ttl, p2p, size = 0, quiet = false, idOf } = wishes;
    const id = (idOf === undefined ? undefined : ledger.of(idOf)?.id) ?? ledger.sent.length + 1;
    const sent = ledger.add({ id, by: this.name, to, life: this.#lives, store, asks: !quiet || !store, ttl });
    const value = size > 0 ? { n: sent.n, pad: 'x'.repeat(size) } : sent.n;
    const body = { value, ...given<{ expect: string; store: boolean; ttl: number; p2p: boolean }>({ expect: sent.asks ? 'receipt' : undefined, store: store || undefined, ttl, p2p }) };
    const message: Request = { id, type: 'create', from: this.address, to: addressOf(to, this.#settings), body };
    ledger.note(() => `${this.name} sends #${String(sent.n)} to ${to}${JSON.stringify(wishes)}`);
    try {
      if (store) void this.#life.outbox.send(message, message.to as Address);
      else this.#sendDirectly(message, wishes.batches === true);
    } catch (thrown) {
      this.#hear(this.#life, refuse(message, asProtoflyError(thrown)));
    }
    return sent.n;
  }

  /** Accepts a message from elsewhere, as src/runtime/entrance.ts does. */
  accept(message: Message, via: ReceivedVia): void {
    const life = this.#life;
    if (isResponse(message)) { this.#answered(life, message); return; }
    const receipt = receiptIn(message);
    if (receipt !== undefined) this.#answered(life, receipt);
    const request = receipt === undefined ? message : withoutReceipt(message);
    for (const one of isBatch(request) ? unbatched(request) : [request]) this.#receive(life, one, via);
  }

  /** Attaches a program; the previous one leaves first. */
  attach(pace: Pace): void {
    this.detach();
    const { ledger } = this.#components;
    const life = this.#lives;
    const program = this.#program = new Program({
      onDelivered: (n) => { ledger.note(() => `${this.name} hands on #${String(n)}`); },
      onTaken: (n) => { ledger.taken(n, life); },
    }, pace);
    program.attached(this.#life.inbox.attach(program));
  }

  detach(): void {
    const program = this.#program;
    this.#program = undefined;
    program?.leave();
  }

  /** The program takes delivered messages. */
  take(count: number): void {
    this.#program?.take(count);
  }

  /** Handles the loss or the return of a carrier. */
  lost(carrier: Carrier): void {
    this.#life.outgoing.lost(carrier);
    this.#life.outbox.lost(carrier);
  }

  /** Handles a new route. */
  wake(): void {
    this.#life.outgoing.wake();
    this.#life.outbox.wake();
  }

  /** Kills the process and starts another on its disk. */
  kill(): void {
    const { ledger, disk, machine } = this.#components;
    this.#program?.lose();
    this.#program = undefined;
    ledger.killed(this.name, this.#lives, { disk, machine });
    ledger.orphaned(this.name, this.#lives, disk);
    this.#givenUp += this.#life.outbox.givenUp.refused;
    this.#life.ended = true;
    this.#life.clock.end();
    disk.lose();
    machine.goOn();
    this.#life = this.#start();
    this.#life.outbox.start();
  }

  /** Ends the process without starting another. */
  end(): void {
    this.#life.ended = true;
    this.#life.outgoing.close();
    this.#life.outbox.close();
    this.#life.clock.end();
    this.#components.disk.lose();
  }

  #sendDirectly(message: Request, batches: boolean): void {
    const to = message.to as Address;
    const { outgoing } = this.#life;
    let carrier: Carrier;
    try {
      carrier = this.#route(routeRequest(message, to));
    } catch (thrown) {
      void outgoing.hold(message, to, asProtoflyError(thrown));
      return;
    }
    void outgoing.send(message, to, carrier, { batches });
  }

  /** @throws ProtoflyError `E_UNREACHABLE` */
  #route({ to, p2p }: RouteRequest): Carrier {
    const { direct, hosts, stub } = this.#components;
    const [host] = hosts(to);
    const live = p2p === false || host === undefined ? undefined : direct(host);
    return live ?? stub.carrier();
  }

  #answered(life: Life, answer: Response): void {
    const response = answer.body.receiptOf === undefined ? answer : withIds(answer, [answer.id]);
    const kept = life.outbox.settle(response);
    const heard = kept ?? [life.outgoing.settle(response)];
    for (const one of heard) if (one !== undefined) this.#hear(life, one);
  }

  #receive(life: Life, message: Request, via: ReceivedVia): void {
    this.#remember(message);
    try {
      life.inbox.receive(message, via);
    } catch (thrown) {
      this.#back(life, refuse(message, asProtoflyError(thrown), this.address));
    }
  }

  /** Tracks flows: a sender with more flows than its receiver remembers may have messages taken twice. */
  #remember(message: Request): void {
    const flow = message.body?.['flow'];
    if (!Array.isArray(flow)) return;
    let memory = this.#memories.get(message.from);
    if (memory === undefined) this.#memories.set(message.from, memory = new StreamMemory(this.#settings.limits.streams ?? 1024));
    const sent = this.#components.ledger.of(numberOf(message));
    if (memory.use(String(flow[0])) && sent !== undefined) sent.excuse = 'of a stream that its receiver may have forgotten';
  }

  /** Routes a response. */
  #back(life: Life, response: Response): void {
    if (life.ended) return;
    const { ledger, hosts, direct, stub } = this.#components;
    const names = hosts(response.to);
    if (!isSuccess(response)) for (const name of names) ledger.refused(name, this.name, response);
    const isForNode = response.body['path'] === 'msg-node' && (stub.state === 'live' || !isSuccess(response));
    // Twins get answers to each other's messages.
    const lanes = isForNode ? [] : names.flatMap((name) => direct(name) ?? []);
    try {
      for (const lane of lanes) void lane.send(response);
      if (lanes.length < names.length) void stub.carrier().send(response);
    } catch {
      ledger.note(() => `${this.name} could not answer ${String(response.id)}`);
    }
  }

  #hear(life: Life, response: Response): void {
    const [to] = this.#components.hosts(response.from);
    if (!life.ended && to !== undefined) this.#components.ledger.heard(this.name, life.number, to, response);
  }

  #start(): Life {
    const { machine, disk, stub, ledger } = this.#components;
    const { limits, asks } = this.#settings;
    this.#lives += 1;
    const number = this.#lives;
    let life: Life | undefined = undefined as Life | undefined;
    const clock = new LifeClock(machine);
    const store = disk.open();
    const unlessEnded = <T>(run: () => T): T => {
      if (life?.ended === true) throw new ProtoflyError('E_ABORTED', 'the process is gone');
      return run();
    };
    const routes: Routes = {
      route: (request) => unlessEnded(() => (asks ? Promise.resolve().then(() => this.#route(request)) : this.#route(request))),
      isAway: ({ to, p2p }) => stub.state === 'away' && (p2p === false || this.#components.hosts(to).every((host) => this.#components.direct(host) === undefined)),
    };
    const back = (response: Response): void => { if (life !== undefined) this.#back(life, response); };
    const reply = (response: Response): void => { if (life !== undefined) this.#hear(life, response); };
    const log = (_level: string, text: string): void => { ledger.note(() => `${this.name}: ${text}`); };
    const receipts = new Receipts({ reply: back });
    const epoch = `${this.name}${String(number)}`;
    const outgoing = new Outgoing({ clock, routes, reply, receipts }, { epoch, ...given({ window: limits.window }) });
    const outbox = new Outbox({
      clock, routes, reply, log, messages: store.collection<KeptMessage>('outbox'), pairs: store.collection<KeptPair>('outbox-pairs'),
    }, { epoch, ...given({ maxMessages: limits.outboxMessages, maxBytes: limits.outboxBytes, maxPerPair: limits.outboxPerPair, maxInFlight: limits.outboxUnderWay, window: limits.window }) });
    const inbox = new Inbox({
      stored: store.collection<Stored>('inbox'), positions: store.collection<KeptCheckpoint>('positions'), clock, receipts, reply: back, log,
    }, {
      address: this.address, positionMs: POSITION_MS,
      ...given({ maxMessages: limits.inboxMessages, maxBytes: limits.inboxBytes, maxStalled: limits.inboxStalled, stallMs: limits.inboxStallMs, maxStreams: limits.streams }),
    });
    life = { number, clock, outgoing, outbox, inbox, ended: false };
    return life;
  }
}
