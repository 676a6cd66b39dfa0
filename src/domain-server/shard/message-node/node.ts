import {
  asProtoflyError, domainOf, encodedOnce, encodeMessage, expectationOf, isAddress, isResponse, isWithin, partsOf, combinedBackpressure, ProtoflyError, recipientsOf, refuse, respond, SESSION, splitByReceiver,
  type Address, type Clock, type Message, type Backpressure, type Request, wantsKeeping,
} from '../../../protocol/index.js';
import type { Store } from '../../../store/store.js';
import type { Admission } from '../members/admission.js';
import { Mailbox, type MailLimits } from '../mailbox/index.js';
import { Challenges } from './challenges.js';
import { Connection, type MakeLink } from './connection.js';
import { Directory } from './directory.js';
import { admissionFunction, allocationFunction, subscriptionFunction, type DomainFunction } from './functions.js';
import { NODE_LIMITS, type NodeLimits } from './limits.js';
import { Meter } from './meter.js';
import type { Session } from './session.js';
import { Sessions } from './sessions.js';
import { vouched } from './set-ups.js';
import { Visitors } from './visitors.js';

export interface MessageNodeComponents {
  readonly store: Store;
  readonly clock: Clock;
  /** Returns cryptographically random bytes. */
  readonly random: (bytes: number) => Uint8Array;
  /** Logs failures of this node. */
  readonly log: (text: string, details?: Record<string, unknown>) => void;
  /** Returns the runtime that the domain registry has for an address, if any. */
  readonly registeredBy: (address: Address) => Address | undefined;
  /** True if the domain registry says that the runtime of an address sends receipts. */
  readonly acknowledges: (address: Address) => boolean;
  /** Decides what sessions may do. */
  readonly admission: Admission;
  /** Called when a session has ended, either closed by its runtime or expired. */
  readonly onSessionEnded: (runtime: Address) => Promise<void>;
}

export interface MessageNodeInit {
  readonly domain: string;
  /** True to let in runtimes whose URL names no key. @default false */
  readonly allowUnauthenticated?: boolean;
  /** @default NODE_LIMITS */
  readonly limits?: Partial<NodeLimits>;
  /** Limits of the mailbox. @default MAIL_LIMITS */
  readonly mail?: Partial<MailLimits>;
}

/**
 * Relays messages between the sessions of runtimes, and passes requests to the functions of the domain.
 * @see docs/protocol.md, "Message-node session"
 */
export class MessageNode {
  readonly domain: string;
  readonly meter: Meter;
  readonly directory: Directory;
  readonly mailbox: Mailbox;
  readonly #limits: NodeLimits;
  readonly #clock: Clock;
  readonly #log: MessageNodeComponents['log'];
  readonly #onSessionEnded: (runtime: Address) => Promise<void>;
  readonly #registeredBy: (address: Address) => Address | undefined;
  readonly #functions = new Map<string, DomainFunction>();
  readonly #connections = new Set<Connection>();
  readonly #sessions: Sessions;
  readonly #admission: Admission;
  readonly #visitors = new Visitors();
  #closed = false;

  constructor({ store, clock, random, log, registeredBy, acknowledges, admission, onSessionEnded }: MessageNodeComponents, init: MessageNodeInit) {
    this.domain = init.domain;
    this.#limits = { ...NODE_LIMITS, ...init.limits };
    this.#clock = clock;
    this.#log = log;
    this.#onSessionEnded = onSessionEnded;
    this.#admission = admission;
    this.#registeredBy = registeredBy;
    this.meter = new Meter(clock);
    this.mailbox = new Mailbox({ store, clock, log, acknowledges, give: (message, to) => this.#give(message, to) }, {
      epoch: Buffer.from(random(6)).toString('base64url'), ...(init.mail === undefined ? {} : { limits: init.mail }),
    });
    this.directory = new Directory({
      store,
      limits: this.#limits,
      onAllocated: (session, addresses) => { this.#deliverMail(session, addresses); },
      session: {
        clock,
        budget: { bytes: 0 },
        onExpired: (session) => { void this.#expire(session); },
        onStalled: (session, link) => {
          this.#log('a receiver does not read', { runtime: session.runtime });
          void link.close('this side has not read for too long');
        },
        onFlowing: (session) => { this.#deliverMail(session, session.allocations); },
      },
    });
    this.#sessions = new Sessions({ directory: this.directory, challenges: new Challenges({ clock, random }, { domain: this.domain, allowUnauthenticated: init.allowUnauthenticated ?? false }), admission, random, onEnded: (session) => this.#end(session) });
    const node = `domain://msg-node.${this.domain}`;
    this.addFunction(`${node}/address-allocation` as Address, allocationFunction({ domain: this.domain, directory: this.directory, limits: this.#limits, random, registeredBy }));
    this.addFunction(admission.address, admissionFunction(admission, this.directory));
    this.addFunction(`${node}/sm` as Address, subscriptionFunction(this.directory, this.#limits));
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Adds a function of the domain. It serves its address, and all below it without a function of their own. */
  addFunction(address: Address, run: DomainFunction): void {
    this.#functions.set(address, run);
  }

  /**
   * Serves a client. The node owns the link from now on.
   * @throws ProtoflyError `E_TOO_MANY`, before a link is created
   */
  attach(makeLink: MakeLink): void {
    if (this.#closed || this.#connections.size >= this.#limits.connections) throw new ProtoflyError('E_TOO_MANY', 'too many connections');
    const events = {
      onMessage: (connection: Connection, message: Message) => this.#receive(connection, message),
      onReject: () => { this.meter.refused += 1; },
      onClosed: (connection: Connection) => {
        this.#connections.delete(connection);
        connection.current?.detach(connection.link);
      },
    };
    this.#connections.add(new Connection({ clock: this.#clock, events, makeLink }, { ...this.#limits, maxWork: this.#limits.workPerConnection }));
  }

  /** Sends a message of a domain function to all sessions subscribed to `to`. */
  publish(message: Message, to: Address): void {
    for (const session of this.directory.receiversOf(to)) void this.#hand(session, message);
  }

  /** Ends sessions, and closes their connections. @throws ProtoflyError `E_STORE` */
  async expel(sessions: readonly Session[], why: string): Promise<void> {
    for (const session of sessions) {
      // The link goes first: nothing more is taken from it while the end is being written.
      void session.link?.close(why);
      await this.#end(session);
    }
  }

  /** Closes all connections. Sessions stay in the store for the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    this.mailbox.close();
    await Promise.all([...this.#connections].map((connection) => connection.link.close('the message node ends')));
    for (const session of this.directory.sessions) session.end();
  }

  #receive(connection: Connection, message: Message): Backpressure {
    this.meter.receive();
    if (message.to === SESSION) return isResponse(message) ? this.#drop() : this.#control(connection, message);
    const session = connection.current;
    if (session === undefined) return this.#refuse(message, new ProtoflyError('E_UNAUTHENTICATED', 'there is no session on this connection: open one first'), connection);
    if (!this.#maySend(session, message.from)) {
      return this.#refuse(message, new ProtoflyError('E_REFUSED', `${message.from} is not an address of ${session.runtime}`), connection);
    }
    const refusal = this.#admission.refusalOf(session.standing, message);
    if (refusal !== undefined) return this.#refuse(message, refusal, connection);
    if (typeof message.to === 'string') return this.#route(connection, session, message, message.to);
    const copies = splitByReceiver(message);
    const bytes = copies.reduce((sum, copy) => sum + encodeMessage(copy).length, 0);
    if (bytes > this.#limits.copiedBytes) return this.#refuse(message, this.#tooManyCopies(bytes), connection);
    return combinedBackpressure([connection.charge(bytes), ...copies.map((copy) => this.#route(connection, session, copy, recipientsOf(copy)[0]!))]);
  }

  /** Answers requests to the session manager in order. Nothing more is read from the connection in the meantime. */
  #control(connection: Connection, request: Request): Promise<void> {
    return this.#sessions.handle(connection, request).catch((thrown: unknown) => { void this.#refuse(request, asProtoflyError(thrown), connection); });
  }

  /**
   * True if the session may send from the address: its runtime's, an allocated one, or, for a visitor from another
   * domain, one of that domain.
   */
  #maySend(session: Session, from: Address): boolean {
    if (isWithin(from, session.runtime) || this.directory.owns(session, from)) return true;
    const domain = domainOf(from);
    const { scheme } = partsOf(from);
    return domain !== this.domain && domain === domainOf(session.runtime) && scheme !== 'hyperty-runtime' && scheme !== 'domain' && this.#visitors.isFrom(session, from);
  }

  #route(connection: Connection, session: Session, message: Message, to: Address): Backpressure {
    const { scheme } = partsOf(to);
    if (scheme === 'domain' || scheme === 'mn' || scheme === 'global' || scheme === 'hyperty-catalogue') return this.#call(connection, session, message, to);
    if (!isResponse(message)) {
      let checked: Message;
      try {
        checked = vouched(message, to, session.runtime);
      } catch (thrown) {
        return this.#refuse(message, asProtoflyError(thrown), connection);
      }
      return this.#pass(connection, session, checked, to);
    }
    return combinedBackpressure(this.mailbox.settle(message).map((heard) => this.#pass(connection, session, heard, to)));
  }

  /** Delivers a message to the sessions at its address, or stores it. */
  #pass(connection: Connection, session: Session, message: Message, to: Address): Backpressure {
    const receivers = this.directory.receiversOf(to);
    const known = receivers.size > 0;
    receivers.delete(session);
    if (wantsKeeping(message) && this.#isToBeKept(message.from, to, receivers, session)) return this.#keep(connection, session, message, to);
    if (known && receivers.size === 0) return this.#refuse(message, new ProtoflyError('E_NOT_FOUND', `${to} is an address of nobody but its sender`), connection);
    if (known) return this.#handAll(receivers, this.mailbox.behindMail(message, to), connection);
    const other = this.directory.runtimeSession(to) ?? this.#visitors.at(to);
    if (other !== undefined && other !== session && !other.ended) return this.#handAll(new Set([other]), message, connection);
    return this.#refuse(message, this.#unknown(to), connection);
  }

  /**
   * True if the receiver exists but is away, or has a backlog of mail. Mail for a connected receiver is delivered
   * first.
   */
  #isToBeKept(from: Address, to: Address, others: ReadonlySet<Session>, session: Session): boolean {
    const owner = this.directory.ownerOf(to);
    if (domainOf(to) !== this.domain || owner === session || [...others].some((other) => other !== owner)) return false;
    if (owner === undefined) return this.#registeredBy(to) !== undefined;
    if (!owner.flowing || this.mailbox.isHeld(to)) return true;
    if (this.mailbox.hasFor(to)) this.mailbox.deliver(to);
    return this.mailbox.hasFor(to, from);
  }

  /** Stores a message for a receiver that is away. The sender gets a response once it is on disk. */
  #keep(connection: Connection, session: Session, message: Request, to: Address): Backpressure {
    let durable: Promise<void>;
    try {
      durable = this.mailbox.keep(message, to, session);
    } catch (thrown) {
      return this.#refuse(message, asProtoflyError(thrown), connection);
    }
    return connection.track(durable.then(
      () => { if (expectationOf(message) === 'receipt') this.#answer(connection, session, respond(message, 202, { stored: 'domain' }, to)); },
      (thrown: unknown) => { void this.#refuse(message, asProtoflyError(thrown), connection); },
    ));
  }

  #deliverMail(session: Session, addresses: Iterable<Address>): void {
    if (!session.flowing) return;
    for (const address of addresses) {
      this.mailbox.renew(address);
      this.mailbox.deliver(address);
    }
  }

  /**
   * Gives a message to the session that owns the address.
   * @returns false if that session is away
   * @throws ProtoflyError `E_TOO_LARGE`
   */
  #give(message: Message, to: Address): boolean {
    const owner = this.directory.ownerOf(to);
    if (owner?.flowing !== true) return false;
    const backpressure = this.#hand(owner, message);
    if (backpressure instanceof ProtoflyError) throw backpressure;
    return true;
  }

  #unknown(to: Address): ProtoflyError {
    if (domainOf(to) !== this.domain) return new ProtoflyError('E_NOT_FOUND', `${to} belongs to another domain; this is the message node of ${this.domain}`);
    if (this.#registeredBy(to) !== undefined) return new ProtoflyError('E_UNAVAILABLE', `the runtime of ${to} is not connected`);
    return new ProtoflyError('E_NOT_FOUND', `nobody has the address ${to}`, { hint: 'protofly hyperty discover shows who is there' });
  }

  #handAll(receivers: ReadonlySet<Session>, message: Message, connection: Connection): Backpressure {
    let refusal: ProtoflyError | undefined;
    const backpressures: Backpressure[] = [];
    if (receivers.size > 1) {
      const bytes = encodeMessage(encodedOnce(message)).length * receivers.size;
      if (bytes > this.#limits.copiedBytes) return this.#refuse(message, this.#tooManyCopies(bytes), connection);
      backpressures.push(connection.charge(bytes));
    }
    for (const receiver of receivers) {
      const backpressure = this.#hand(receiver, message);
      if (backpressure instanceof ProtoflyError) refusal = backpressure;
      else backpressures.push(backpressure);
    }
    // A message to several receivers counts as delivered if one of them got it.
    if (refusal !== undefined && receivers.size === 1) return this.#refuse(message, refusal, connection);
    return combinedBackpressure(backpressures);
  }

  #tooManyCopies(bytes: number): ProtoflyError {
    return new ProtoflyError('E_TOO_LARGE', `the message would be ${String(bytes)} bytes for all its receivers, and at most ${String(this.#limits.copiedBytes)} are passed on`, { hint: 'send it to fewer receivers at a time, or make it smaller' });
  }

  /** Delivers a message to a session. @returns backpressure, or the error */
  #hand(receiver: Session, message: Message): ProtoflyError | undefined | Promise<void> {
    try {
      const backpressure = receiver.deliver(message);
      this.meter.delivered += 1;
      return backpressure ?? undefined;
    } catch (thrown) {
      this.meter.dropped += 1;
      return asProtoflyError(thrown);
    }
  }

  /** Passes a request to a function of the domain. */
  #call(connection: Connection, session: Session, message: Message, to: Address): Backpressure {
    if (isResponse(message)) return this.#drop();
    const run = this.#functionAt(to);
    if (run === undefined || message.type === 'ping') {
      const there = run !== undefined || to === `domain://msg-node.${this.domain}` || to === `hyperty-catalogue://catalogue.${this.domain}`;
      if (there && message.type === 'ping') return connection.answer(respond(message, 200));
      const foreign = domainOf(to) !== this.domain && to !== SESSION;
      return this.#refuse(message, new ProtoflyError('E_NOT_FOUND', foreign ? `${to} belongs to another domain; this is the message node of ${this.domain}` : `there is no ${to}`), connection);
    }
    let answer: ReturnType<DomainFunction>;
    try {
      answer = run(message, session);
    } catch (thrown) {
      return this.#refuse(message, asProtoflyError(thrown), connection);
    }
    if (!(answer instanceof Promise)) return connection.answer(answer);
    const work = answer.then(
      (response) => { this.#answer(connection, session, response); },
      (thrown: unknown) => { void this.#refuse(message, asProtoflyError(thrown), connection); },
    );
    return connection.track(work);
  }

  /** Sends a response. If the connection of the request is gone, uses the session's next one. */
  #answer(connection: Connection, session: Session, response: Message): void {
    if (!isResponse(response)) return;
    if (session.link === connection.link || session.ended) void connection.answer(response);
    else void this.#hand(session, response);
  }

  #functionAt(to: Address): DomainFunction | undefined {
    for (let at: string = to; at.includes('://'); at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) {
      const run = this.#functions.get(at);
      if (run !== undefined) return run;
    }
    return undefined;
  }

  #refuse(message: Message, error: ProtoflyError, connection: Connection): Backpressure {
    if (isResponse(message)) return this.#drop();
    this.meter.refused += 1;
    if (error.status < 500 || ['E_LINK_CLOSED', 'E_QUOTA', 'E_UNREACHABLE'].includes(error.code)) return connection.answer(refuse(message, error));
    this.#failed(`answering ${message.type} to ${String(message.to)}`, error);
    return connection.answer(refuse(message, new ProtoflyError(error.code, error.code === 'E_STORE' ? 'the domain server can\'t write to its disk' : 'the domain server failed')));
  }

  #drop(): undefined {
    this.meter.dropped += 1;
    return undefined;
  }

  #failed(what: string, thrown: unknown): void {
    this.#log(`${what} failed`, { error: asProtoflyError(thrown) });
  }

  /** Ends a session whose runtime didn't come back. If that can't be written, it is tried again later. */
  async #expire(session: Session): Promise<void> {
    try {
      await this.#end(session);
    } catch (thrown) {
      this.#failed('ending a session', thrown);
      if (this.#closed) session.end();
      else session.expireLater();
    }
  }

  /**
   * Ends a session: releases its addresses, and answers the requests that wait for it.
   * @throws ProtoflyError `E_STORE`, and the session goes on
   */
  async #end(session: Session): Promise<void> {
    if (!(await this.directory.remove(session))) return;
    const waited = session.end();
    this.#visitors.forget(session);
    for (const { message, inDoubt = false } of waited) {
      if (isResponse(message)) { this.#drop(); continue; }
      const to = recipientsOf(message)[0];
      if (to === undefined || !isAddress(message.from) || this.mailbox.keeps(message, to)) continue;
      const answer = refuse(message, new ProtoflyError('E_UNAVAILABLE', `the runtime of ${to} did not come back`, { uncertain: inDoubt }));
      for (const asker of this.#senders(message.from)) void this.#hand(asker, answer);
    }
    await this.#onSessionEnded(session.runtime);
  }

  #senders(from: Address): Iterable<Session> {
    const receivers = this.directory.receiversOf(from);
    if (receivers.size > 0) return receivers;
    const session = this.directory.runtimeSession(from) ?? this.#visitors.at(from);
    return session === undefined || session.ended ? [] : [session];
  }
}
