import { isForeign, type Listener, type Origin, type Resolver } from '../../bus/index.js';
import {
  asProtoflyError, DELIVERY, domainOf, expectationOf, isResponse, isSuccess, isWithin, ProtoflyError, respond, runtimeOf, viaOf, wantsKeeping,
  type Address, type Message, type RegistryRecord, type Request, type Response,
} from '../../protocol/index.js';
import { routeRequest, type Carrier, type Outgoing, type RouteRequest } from '../delivery/index.js';
import type { Outbox } from '../delivery/outbox/index.js';
import type { Connections } from '../p2p/connections.js';
import type { Hyperties } from '../hyperties/hyperties.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import type { Records } from '../directory/records.js';

export interface RouterComponents {
  readonly records: Records;
  readonly hyperties: Hyperties;
  readonly connections: Connections;
  readonly nodes: MessageNodes;
  readonly outgoing: Outgoing;
  readonly outbox: Outbox;
  /** Answers a program of this runtime. */
  readonly reply: (response: Response) => void;
}

const FUNCTION = /^(?:domain|global|connection):/;
const P2P_STUB = /^hyperty-runtime:\/\/[^/]+\/[^/]+\/p2p(?:handler|requester)(?:\/|$)/;
const USER = /^user(?:-guid)?:/;

/** True if messages to or from an address always go through message nodes. */
export const viaNode = (address: Address): boolean => FUNCTION.test(address) || P2P_STUB.test(address);

/**
 * Chooses the route of messages to other runtimes (docs/protocol.md, "Routing"). Never waits for P2P: while a connection
 * is being set up, messages go through the message node.
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
    if (wantsKeeping(message) && !isWithin(to, this.#runtime) && !viaNode(to)) return this.#keep(to);
    const none = (thrown: unknown): Listener => this.#hold(message, to, asProtoflyError(thrown));
    let carrier: Carrier | Promise<Carrier>;
    try {
      carrier = isResponse(message) ? this.#back(message) : this.route(routeRequest(message, to));
    } catch (thrown) {
      return none(thrown);
    }
    return carrier instanceof Promise ? carrier.then((ready) => this.#listener(message, to, ready), none) : this.#listener(message, to, carrier);
  }

  /** Chooses the carrier of a message. @throws ProtoflyError `E_NOT_FOUND`, `E_NOT_DIRECT`, `E_UNREACHABLE` */
  route(request: RouteRequest): Carrier | Promise<Carrier> {
    const { to } = request;
    if (isWithin(to, this.#runtime)) throw new ProtoflyError('E_NOT_FOUND', `this runtime has nothing at ${to}`);
    if (USER.test(to)) throw new ProtoflyError('E_NOT_FOUND', `${to} is a user, not a hyperty`, { hint: 'send to one of the user\'s hyperties' });
    if (viaNode(to)) return this.#components.nodes.carrier(domainOf(to));
    const runtime = runtimeOf(to);
    if (runtime !== undefined) return this.#routeTo(request, runtime, undefined);
    const known = this.#components.records.known(to);
    if (known !== undefined) return this.#routeTo(request, known?.runtime, known ?? undefined);
    return this.#components.records.find(to).then((record) => this.#routeTo(request, record?.runtime, record));
  }

  /** True if a message is known to have no route: its message node is away, and it may take no live connection. */
  isAway(request: RouteRequest): boolean {
    const { to } = request;
    const { records, nodes, connections } = this.#components;
    const runtime = runtimeOf(to) ?? records.last(to)?.runtime;
    return nodes.isAway(domainOf(to)) && (runtime === undefined || !this.#mayGoDirectly(request) || connections.live(runtime) === undefined);
  }

  /** True if both the message and its sender allow P2P. */
  #mayGoDirectly({ from, p2p }: RouteRequest): boolean {
    return p2p !== false && this.#components.hyperties.find(from)?.p2p !== false;
  }

  #routeTo(request: RouteRequest, runtime: Address | undefined, record: RegistryRecord | undefined): Carrier | Promise<Carrier> {
    const { connections, nodes } = this.#components;
    const { to, p2p: wish, avoid } = request;
    if (this.#mayGoDirectly(request)) {
      const live = runtime === undefined ? undefined : connections.live(runtime);
      if (live !== undefined) return live === avoid && wish !== 'require' ? this.#insteadOf(live, domainOf(to)) : live;
      if (runtime !== undefined) connections.missed(runtime);
      if (record?.p2pHandler !== undefined && connections.handler !== undefined) connections.want(record);
      // A suspect connection is better than none.
      const suspect = runtime !== undefined && (wish === 'require' || nodes.isAway(domainOf(to)) || avoid?.kind === 'msg-node') ? connections.suspect(runtime) : undefined;
      if (suspect !== undefined) return suspect;
    }
    if (wish === 'require') throw new ProtoflyError('E_NOT_DIRECT', `there is no P2P connection to ${to}`, { hint: `protofly p2p connect ${to}` });
    return nodes.carrier(domainOf(to));
  }

  /** Returns the message node of a domain, or the connection if the node can't be reached. Never rejects. */
  async #insteadOf(connection: Carrier, domain: string): Promise<Carrier> {
    const { nodes } = this.#components;
    try {
      const node = await nodes.carrier(domain);
      return node.isAway ? connection : node;
    } catch {
      return connection;
    }
  }

  /** Chooses the carrier of a response: a live connection or the message node. Looks nothing up and sets nothing up. */
  #back(response: Response): Carrier | Promise<Carrier> {
    const { records, connections, nodes } = this.#components;
    const { to, from } = response;
    if (isWithin(to, this.#runtime)) throw new ProtoflyError('E_NOT_FOUND', `this runtime has nothing at ${to}`);
    // Responses of data objects and P2P stubs belong to a set-up: they return by the path of the request.
    if (viaNode(from)) return nodes.wayBack(to);
    // If the request came through a message node, the response returns through one while it is there: the sender is first
    // to change its route when a connection dies. A refusal does so even while the node is away. Otherwise its sender
    // would hear of it while the domain still delivers the message as mail. Connection objects always use message nodes,
    // even when a connection is live.
    if ((response.body['path'] === 'msg-node' && (!isSuccess(response) || !nodes.isAway(domainOf(to)))) || FUNCTION.test(from)) return nodes.wayBack(to);
    const runtime = runtimeOf(to) ?? records.known(to)?.runtime;
    const live = runtime === undefined || viaNode(to) ? undefined : connections.live(runtime);
    return live ?? nodes.wayBack(to);
  }

  /**
   * Holds a message that wants a receipt, if its domain was reached before and is away now.
   * @throws ProtoflyError for all others
   */
  #hold(message: Message, to: Address, error: ProtoflyError): Listener {
    const { records, nodes, outgoing } = this.#components;
    const waits = error.code === 'E_UNREACHABLE' && !isResponse(message) && expectationOf(message) === 'receipt' && nodes.wasLive(domainOf(to));
    if (!waits || offersNoReceipts(records.last(to))) throw error;
    return (sent) => outgoing.hold(sent, to, error);
  }

  /**
   * Hands a message to the outbox, which finds the route itself and tries again later. If the receiver sends no receipts,
   * the message is relayed at once.
   */
  #keep(to: Address): Listener | Promise<Listener> {
    const { records, outbox } = this.#components;
    const listener = (record: RegistryRecord | undefined): Listener => {
      if (!offersNoReceipts(record)) return (message) => outbox.send(message as Request, to);
      return async (message) => {
        const carrier = await this.route(routeRequest(message, to));
        await this.#relay(message as Request, to, carrier);
      };
    };
    const known = runtimeOf(to) === undefined ? records.known(to) ?? records.last(to) : null;
    if (known !== undefined) return listener(known ?? undefined);
    return records.find(to).then(listener, () => listener(undefined));
  }

  /** Sends a message without expecting a receipt, and tells the sender when the carrier has it. */
  async #relay(message: Request, to: Address, carrier: Carrier): Promise<void> {
    const { expect, ...body } = message.body ?? {};
    await carrier.send({ ...message, body });
    if (expect === 'receipt') this.#components.reply(respond(message, 202, { relayed: true, path: carrier.kind }, to));
  }

  #listener(message: Message, to: Address, carrier: Carrier): Listener {
    if (viaOf(message).includes(carrier.address)) throw new ProtoflyError('E_NOT_FOUND', `the only route to ${to} leads back to where the message came from`);
    const { outgoing, records } = this.#components;
    if (isResponse(message) || expectationOf(message) !== 'receipt') {
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
