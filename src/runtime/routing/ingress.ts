import type { MessageBus, Origin } from '../../bus/index.js';
import { asProtoflyError, isBatch, isOfP2pStub, isResponse, isWithin, domainOf, combinedBackpressure, ProtoflyError, receiptIn, recipientsOf, refuse, unbatched, withIds, withoutReceipt, type Address, type Cause, type Message, type Backpressure, type Request, type Response } from '../../protocol/index.js';
import type { Carrier, Intake, Outgoing } from '../delivery/index.js';
import type { Outbox } from '../delivery/outbox/index.js';
import type { Records } from '../directory/records.js';
import type { Hyperties } from '../hyperties/hyperties.js';
import { HeldMessages } from './held-messages.js';

export interface IngressComponents {
  readonly bus: MessageBus;
}

/** The parts that an ingress serves. They come after it: they themselves need the carriers that it serves. */
export interface IngressParties {
  readonly hyperties: Hyperties;
  readonly records: Records;
  readonly outgoing: Outgoing;
  readonly outbox: Outbox;
  readonly connections: {
    /** Checks a request to a P2P stub. @throws ProtoflyError `E_REFUSED` */
    checkSetUp(message: Request, to: Address, origin: Origin): Promise<void>;
  };
  /** Decides whose messages and pings are taken. */
  readonly accept: {
    /** @throws ProtoflyError `E_BLOCKED`, `E_KNOCK` */
    check(wish: 'messages' | 'presence', from: Address, knock?: unknown): Promise<void> | undefined;
  };
  /** Refuses set-ups of domains that no local program has named. */
  readonly named: {
    /** @throws ProtoflyError `E_STRANGER` */
    admit(domain: string, cause: Cause): void;
  };
}

/** Components of a runtime that only take requests of its own programs and parts. */
const PRIVATE: ReadonlySet<string> = new Set(['ua', 'sm', 'registry', 'catalogue', 'identity', 'user', 'protostub', 'sandbox']);

/**
 * Takes in messages from outside whose sender has been checked, and posts them to the bus. Refuses requests to private
 * components.
 */
export class Ingress implements Intake {
  readonly #components: IngressComponents;
  readonly #runtime: Address;
  readonly #held = new HeldMessages();
  #parties: IngressParties | undefined;
  #rejected = 0;

  constructor(components: IngressComponents, { runtime }: { readonly runtime: Address }) {
    this.#components = components;
    this.#runtime = runtime;
  }

  /** Number of requests from outside that were refused. */
  get rejected(): number {
    return this.#rejected;
  }

  /** Adds the parts that it serves. To be called once, before any carrier starts. */
  serve(parties: IngressParties): void {
    this.#parties = parties;
  }

  isOwn(address: Address): boolean {
    return isWithin(address, this.#runtime) || this.#served.hyperties.find(address) !== undefined;
  }

  accept(message: Message, origin: Origin): Backpressure {
    if (isResponse(message)) return this.#answered(message, origin);
    const receipt = receiptIn(message);
    if (receipt === undefined) return this.#asked(message, origin);
    return combinedBackpressure([this.#answered(receipt, origin), this.#asked(withoutReceipt(message), origin)]);
  }

  lost(carrier: Carrier): void {
    const { outgoing, outbox } = this.#served;
    outgoing.lost(carrier);
    outbox.lost(carrier);
  }

  get #served(): IngressParties {
    if (this.#parties === undefined) throw new ProtoflyError('E_UNAVAILABLE', 'the runtime is not put together yet');
    return this.#parties;
  }

  #asked(message: Request, origin: Origin): Backpressure {
    try {
      const setUp = this.#check(message, origin);
      if (setUp !== undefined) return setUp.then(() => this.#admit(message, origin), (thrown: unknown) => this.#reject(message, thrown));
      const pending = this.#held.has(message.from) ? undefined : this.#checkSender(message);
      if (pending === undefined && !this.#held.has(message.from)) return this.#admit(message, origin);
      // The refusal is handled later. Without room for the message it isn't handled, and must not count as unhandled.
      pending?.catch(() => undefined);
      this.#held.hold(message, () => this.#askedLater(message, origin, pending));
      return undefined;
    } catch (thrown) {
      return this.#reject(message, thrown);
    }
  }

  /** Takes in a message when it is known who sends it. @param pending the check of its sender, if it runs already */
  async #askedLater(message: Request, origin: Origin, pending: Promise<void> | undefined): Promise<void> {
    try {
      await (pending ?? this.#checkSender(message));
    } catch (thrown) {
      void this.#reject(message, thrown);
      return;
    }
    void this.#admit(message, origin);
  }

  #admit(message: Request, origin: Origin): Backpressure {
    return isBatch(message) ? this.#apart(message, origin) : this.#components.bus.post(message, origin);
  }

  #reject(message: Request, thrown: unknown): Backpressure {
    this.#rejected += 1;
    return this.#components.bus.post(refuse(message, asProtoflyError(thrown)));
  }

  /**
   * Checks that a request from outside may come in. A foreign domain that nobody here has named sets nothing up.
   * @returns a promise if a set-up has to be checked
   * @throws ProtoflyError `E_REFUSED`, `E_STRANGER`
   */
  #check(message: Request, origin: Origin): void | Promise<void> {
    const recipients = recipientsOf(message);
    if (recipients.some((to) => PRIVATE.has(this.#componentAt(to)))) throw new ProtoflyError('E_REFUSED', `${String(message.to)} is for programs of that runtime`);
    const stub = recipients.find((to) => isWithin(to, this.#runtime) && isOfP2pStub(to));
    if (stub === undefined) return undefined;
    this.#served.named.admit(domainOf(message.from), 'remote');
    if (recipients.length > 1 || isBatch(message)) throw new ProtoflyError('E_REFUSED', 'a P2P stub takes neither lists nor batches');
    return message.type === 'create' ? this.#served.connections.checkSetUp(message, stub, origin) : undefined;
  }

  /**
   * Checks that this runtime takes messages of the sender, or shows him that it is there.
   * @returns a promise if he has to be looked up first
   * @throws ProtoflyError `E_BLOCKED`, `E_KNOCK`
   */
  #checkSender(message: Request): Promise<void> | undefined {
    const { accept, hyperties } = this.#served;
    const isForHyperty = typeof message.to === 'string' ? hyperties.find(message.to) !== undefined : message.to.some((to) => hyperties.find(to) !== undefined);
    if (message.type === 'ping') return accept.check('presence', message.from);
    return isForHyperty ? accept.check('messages', message.from, message.body?.value) : undefined;
  }

  /** Posts the messages of a batch one by one. A batch for an unknown receiver is refused as a whole. */
  #apart(batch: Request, origin: Origin): Backpressure {
    const { bus } = this.#components;
    if (typeof batch.to !== 'string' || !bus.isLocal(batch.to)) return bus.post(batch, origin);
    let messages: readonly Request[];
    try {
      messages = unbatched(batch);
    } catch (thrown) {
      return bus.post(refuse(batch, asProtoflyError(thrown)));
    }
    return combinedBackpressure(messages.map((message) => bus.post(message, origin)));
  }

  #answered(answer: Response, origin: Origin): Backpressure {
    const { bus } = this.#components;
    const { outgoing, outbox, records } = this.#served;
    // A response from outside settles only its own request: drop the other ids that it lists.
    const response = answer.body.receiptOf === undefined ? answer : withIds(answer, [answer.id]);
    // The receiver has gone: its record is out of date.
    if (response.body.code === 404 || response.body.code === 408) records.forget(response.from);
    const kept = outbox.settle(response);
    if (kept === undefined) {
      const heard = outgoing.settle(response);
      return heard === undefined ? undefined : bus.post(heard, origin);
    }
    for (const heard of kept) void bus.post(heard, origin);
    return undefined;
  }

  #componentAt(to: Address): string {
    return isWithin(to, this.#runtime) ? to.slice(this.#runtime.length + 1).split('/', 1)[0]! : '';
  }
}
