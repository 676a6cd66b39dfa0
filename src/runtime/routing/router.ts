import { isForeign, type Listener, type Origin, type Resolver } from '../../bus/index.js';
import {
  asProtoflyError, DELIVERY, domainOf, expectationOf, isResponse, isWithin, ProtoflyError, respond, runtimeOf, viaOf, wantsKeeping,
  type Address, type Cause, type Message, type RegistryRecord, type Request, type Response,
} from '../../protocol/index.js';
import { routeRequest, type Carrier, type Outgoing } from '../delivery/index.js';
import type { Outbox } from '../delivery/outbox/index.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import type { Records } from '../directory/records.js';
import { viaNode, type RouteFinder } from './route-finder.js';

export interface RouterComponents {
  readonly routes: RouteFinder;
  readonly records: Records;
  readonly nodes: Pick<MessageNodes, 'wasLive'>;
  readonly outgoing: Outgoing;
  readonly outbox: Outbox;
  /** Answers a program of this runtime. */
  readonly reply: (response: Response) => void;
}

/**
 * Passes messages to other runtimes on: those to keep to the outbox, those that want a receipt to `Outgoing`, all others
 * straight to their carrier.
 */
export class Router implements Resolver {
  readonly #components: RouterComponents;
  readonly #runtime: Address;

  constructor(components: RouterComponents, { runtime }: { readonly runtime: Address }) {
    this.#components = components;
    this.#runtime = runtime;
  }

  resolve(message: Message, to: Address, origin: Origin | undefined): Listener | Promise<Listener> {
    // A runtime is no relay: messages from outside end here or nowhere.
    if (isForeign(message, origin)) throw new ProtoflyError('E_NOT_FOUND', `nobody has the address ${to}`);
    const cause: Cause = origin?.isProgram === true ? 'program' : 'remote';
    if (cause === 'program' && wantsKeeping(message) && !isWithin(to, this.#runtime) && !viaNode(to)) return this.#keep(to);
    const none = (thrown: unknown): Listener => this.#hold(message, to, cause, asProtoflyError(thrown));
    let carrier: Carrier | Promise<Carrier>;
    try {
      carrier = isResponse(message) ? this.#components.routes.back(message) : this.#components.routes.routeFor(cause, routeRequest(message, to));
    } catch (thrown) {
      return none(thrown);
    }
    return carrier instanceof Promise ? carrier.then((ready) => this.#listener(message, to, cause, ready), none) : this.#listener(message, to, cause, carrier);
  }

  /**
   * Holds a program's message that wants a receipt, if its domain was reached before and is away now.
   * @throws ProtoflyError for all others
   */
  #hold(message: Message, to: Address, cause: Cause, error: ProtoflyError): Listener {
    const { records, nodes, outgoing } = this.#components;
    const waits = cause === 'program' && error.code === 'E_UNREACHABLE' && !isResponse(message) && expectationOf(message) === 'receipt' && nodes.wasLive(domainOf(to));
    if (!waits || offersNoReceipts(records.last(to))) throw error;
    return (sent) => outgoing.hold(sent, to, error);
  }

  /**
   * Hands a program's message to the outbox, which finds the route itself and tries again later. If the receiver sends no receipts,
   * the message is relayed at once.
   */
  #keep(to: Address): Listener | Promise<Listener> {
    const { records, outbox } = this.#components;
    const listener = (record: RegistryRecord | undefined): Listener => {
      if (!offersNoReceipts(record)) return (message) => outbox.send(message as Request, to);
      return async (message) => {
        const carrier = await this.#components.routes.route(routeRequest(message, to));
        await this.#relay(message as Request, to, carrier);
      };
    };
    const known = runtimeOf(to) === undefined ? records.known(to) ?? records.last(to) : null;
    if (known !== undefined) return listener(known ?? undefined);
    return records.find(to, 'program').then(listener, () => listener(undefined));
  }

  /** Sends a message without expecting a receipt, and tells the sender when the carrier has it. */
  async #relay(message: Request, to: Address, carrier: Carrier): Promise<void> {
    const { expect, ...body } = message.body ?? {};
    await carrier.send({ ...message, body });
    if (expect === 'receipt') this.#components.reply(respond(message, 202, { relayed: true, path: carrier.kind }, to));
  }

  #listener(message: Message, to: Address, cause: Cause, carrier: Carrier): Listener {
    if (viaOf(message).includes(carrier.address)) throw new ProtoflyError('E_NOT_FOUND', `the only route to ${to} leads back to where the message came from`);
    const { outgoing, records } = this.#components;
    // Only programs' messages are sent again: a later route is chosen for a program, too.
    if (cause !== 'program' || isResponse(message) || expectationOf(message) !== 'receipt') {
      return (sent) => {
        outgoing.flush(sent.from, to);
        return carrier.send(sent);
      };
    }
    const record = records.known(to);
    if (offersNoReceipts(record)) return (sent) => this.#relay(sent as Request, to, carrier);
    const how = { batches: record?.delivery === DELIVERY };
    return (sent) => outgoing.send(sent, to, carrier, how);
  }
}

/** True if the record says that its runtime sends no receipts. Without a record, nothing is known. */
const offersNoReceipts = (record: RegistryRecord | null | undefined): boolean => record !== undefined && record !== null && record.delivery !== DELIVERY;
