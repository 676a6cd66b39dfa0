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

/** Whether messages of an address always go through message nodes. */
export const viaNode = (address: Address): boolean => FUNCTION.test(address) || P2P_STUB.test(address);

/**
 * The way of a message to an address that isn't here: the resolution of docs/protocol.md, "Routing". Never waits for
 * P2P: while a connection is being set up, messages take the message node.
 */
export class Router implements Resolver {
  readonly #components: RouterComponents;
  readonly #runtime: Address;

  constructor(components: RouterComponents, { runtime }: { readonly runtime: Address }) {
    this.#components = components;
    this.#runtime = runtime;
  }

  resolve(message: Message, to: Address, origin: Origin | undefined): Listener | Promise<Listener> {
    // A runtime is no relay: what others send ends here or nowhere.
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
    if (USER.test(to)) throw new ProtoflyError('E_NOT_FOUND', `${to} is a user, not a place`, { hint: 'send to one of the user\'s hyperties' });
    if (viaNode(to)) return this.#components.nodes.carrier(domainOf(to));
    const runtime = runtimeOf(to);
    if (runtime !== undefined) return this.#routeTo(request, runtime, undefined);
    const known = this.#components.records.known(to);
    if (known !== undefined) return this.#routeTo(request, known?.runtime, known ?? undefined);
    return this.#components.records.find(to).then((record) => this.#routeTo(request, record?.runtime, record));
  }

  /** Whether anything is known to be in the way of a message: no message node there, and no live connection that it may take. */
  isAway(request: RouteRequest): boolean {
    const { to } = request;
    const { records, nodes, connections } = this.#components;
    const runtime = runtimeOf(to) ?? records.last(to)?.runtime;
    return nodes.isAway(domainOf(to)) && (runtime === undefined || !this.#mayGoDirectly(request) || connections.live(runtime) === undefined);
  }

  /** Whether neither it nor its sender has been told never to take P2P. */
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
      // What is only suspect is better than nothing.
      const suspect = runtime !== undefined && (wish === 'require' || nodes.isAway(domainOf(to)) || avoid?.kind === 'msg-node') ? connections.suspect(runtime) : undefined;
      if (suspect !== undefined) return suspect;
    }
    if (wish === 'require') throw new ProtoflyError('E_NOT_DIRECT', `there is no P2P connection to ${to}`, { hint: `protofly p2p connect ${to}` });
    return nodes.carrier(domainOf(to));
  }

  /** The message node of a domain, or the connection after all where that can't be reached. Never rejects. */
  async #insteadOf(connection: Carrier, domain: string): Promise<Carrier> {
    const { nodes } = this.#components;
    try {
      const node = await nodes.carrier(domain);
      return node.isAway ? connection : node;
    } catch {
      return connection;
    }
  }

  /** A response takes a live connection or the message node; nothing is looked up or set up for it. */
  #back(response: Response): Carrier | Promise<Carrier> {
    const { records, connections, nodes } = this.#components;
    const { to, from } = response;
    if (isWithin(to, this.#runtime)) throw new ProtoflyError('E_NOT_FOUND', `this runtime has nothing at ${to}`);
    // What a data object or a P2P stub answers belongs to a set-up: it goes the way it was asked.
    if (viaNode(from)) return nodes.wayBack(to);
    // What says that its question came through a message node goes back through one, while that is there: the sender
    // changes its way first when a connection dies. And Connection objects speak through message nodes, whatever has
    // become live meanwhile.
    // A refusal does so in any case: the domain has to hear of its mail, or its sender would be told what isn't true yet.
    if ((response.body['path'] === 'msg-node' && (!isSuccess(response) || !nodes.isAway(domainOf(to)))) || FUNCTION.test(from)) return nodes.wayBack(to);
    const runtime = runtimeOf(to) ?? records.known(to)?.runtime;
    const live = runtime === undefined || viaNode(to) ? undefined : connections.live(runtime);
    return live ?? nodes.wayBack(to);
  }

  /** What wants a receipt waits for a way that there was before, as long as its sender does. @throws ProtoflyError for the rest */
  #hold(message: Message, to: Address, error: ProtoflyError): Listener {
    const { records, nodes, outgoing } = this.#components;
    const waits = error.code === 'E_UNREACHABLE' && !isResponse(message) && expectationOf(message) === 'receipt' && nodes.wasLive(domainOf(to));
    if (!waits || offersNoReceipts(records.last(to))) throw error;
    return (sent) => outgoing.hold(sent, to, error);
  }

  /** The outbox finds the way itself, and again later. But it waits for receipts. */
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

  /** Sends best effort what will never be acknowledged, and says so when its carrier has it. */
  async #relay(message: Request, to: Address, carrier: Carrier): Promise<void> {
    const { expect, ...body } = message.body ?? {};
    await carrier.send({ ...message, body });
    if (expect === 'receipt') this.#components.reply(respond(message, 202, { relayed: true, path: carrier.kind }, to));
  }

  #listener(message: Message, to: Address, carrier: Carrier): Listener {
    if (viaOf(message).includes(carrier.address)) throw new ProtoflyError('E_NOT_FOUND', `the only way to ${to} is the one that the message came`);
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

/** A record of a runtime that can't be waited for. Of an address without a record nothing is known. */
const offersNoReceipts = (record: RegistryRecord | null | undefined): boolean => record !== undefined && record !== null && record.delivery !== DELIVERY;
