import { domainOf, isOfP2pStub, isSuccess, isWithin, ProtoflyError, runtimeOf, type Address, type Cause, type RegistryRecord, type Response } from '../../protocol/index.js';
import type { Carrier, RouteRequest, Routes } from '../delivery/index.js';
import type { Connections } from '../p2p/connections.js';
import type { Hyperties } from '../hyperties/hyperties.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import type { Records } from '../directory/records.js';

export interface RouteFinderComponents {
  readonly records: Records;
  readonly hyperties: Hyperties;
  readonly connections: Connections;
  readonly nodes: MessageNodes;
}

const FUNCTION = /^(?:domain|global|connection):/;
const USER = /^user(?:-guid)?:/;

/** True if messages to or from an address always go through message nodes. */
export const viaNode = (address: Address): boolean => FUNCTION.test(address) || isOfP2pStub(address);

/**
 * Finds the carrier of messages to other runtimes (docs/protocol.md, "Routing"). Never waits for P2P: while a connection
 * is being set up, messages go through the message node.
 */
export class RouteFinder implements Routes {
  readonly #components: RouteFinderComponents;
  readonly #runtime: Address;

  constructor(components: RouteFinderComponents, { runtime }: { readonly runtime: Address }) {
    this.#components = components;
    this.#runtime = runtime;
  }

  /** Chooses the carrier of a program's message: only those are delivered again. */
  route(request: RouteRequest): Carrier | Promise<Carrier> {
    return this.routeFor('program', request);
  }

  /**
   * Chooses the carrier of a message.
   * @param cause who wants the message to be sent
   * @throws ProtoflyError as `route`; `E_STRANGER` if only a program may have this runtime turn to that domain
   */
  routeFor(cause: Cause, request: RouteRequest): Carrier | Promise<Carrier> {
    const { to } = request;
    if (isWithin(to, this.#runtime)) throw new ProtoflyError('E_NOT_FOUND', `this runtime has nothing at ${to}`);
    if (USER.test(to)) throw new ProtoflyError('E_NOT_FOUND', `${to} is a user, not a hyperty`, { hint: 'send to one of the user\'s hyperties' });
    if (viaNode(to)) return this.#components.nodes.carrier(domainOf(to), cause);
    const runtime = runtimeOf(to);
    if (runtime !== undefined) return this.#routeTo(cause, request, runtime, undefined);
    const known = this.#components.records.known(to);
    if (known !== undefined) return this.#routeTo(cause, request, known?.runtime, known ?? undefined);
    return this.#components.records.find(to, cause).then((record) => this.#routeTo(cause, request, record?.runtime, record));
  }

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

  #routeTo(cause: Cause, request: RouteRequest, runtime: Address | undefined, record: RegistryRecord | undefined): Carrier | Promise<Carrier> {
    const { connections, nodes } = this.#components;
    const { to, p2p: wish, avoid } = request;
    if (this.#mayGoDirectly(request)) {
      const live = runtime === undefined ? undefined : connections.live(runtime);
      if (live !== undefined) return live === avoid && wish !== 'require' ? this.#insteadOf(live, domainOf(to), cause) : live;
      if (runtime !== undefined) connections.missed(runtime);
      if (cause === 'program' && record?.p2pHandler !== undefined && connections.handler !== undefined) connections.want(record);
      // A suspect connection is better than none.
      const suspect = runtime !== undefined && (wish === 'require' || nodes.isAway(domainOf(to)) || avoid?.kind === 'msg-node') ? connections.suspect(runtime) : undefined;
      if (suspect !== undefined) return suspect;
    }
    if (wish === 'require') throw new ProtoflyError('E_NOT_DIRECT', `there is no P2P connection to ${to}`, { hint: `protofly p2p connect ${to}` });
    return nodes.carrier(domainOf(to), cause);
  }

  /** Returns the message node of a domain, or the connection if the node can't be reached. Never rejects. */
  async #insteadOf(connection: Carrier, domain: string, cause: Cause): Promise<Carrier> {
    const { nodes } = this.#components;
    try {
      const node = await nodes.carrier(domain, cause);
      return node.isAway ? connection : node;
    } catch {
      return connection;
    }
  }

  /** Chooses the carrier of a response: a live connection or the message node. Looks nothing up and sets nothing up. */
  back(response: Response): Carrier | Promise<Carrier> {
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
}
