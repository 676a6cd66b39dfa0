import type { MessageBus } from '../../bus/index.js';
import {
  child, isAddress, parseAddress, ProtoflyError, respond, runtimeOf, type Address, type Clock, type RegistryRecord, type Request,
} from '../../protocol/index.js';
import { isVerified } from '../../security/signed-record.js';
import type { Criteria, Records } from '../directory/records.js';
import type { Hyperties, HypertySpec } from '../hyperties/hyperties.js';
import type { ConnectionChange } from '../p2p/connection-list.js';
import type { Connections } from '../p2p/connections.js';
import type { P2pConnection } from '../p2p/p2p-connection.js';
import type { Explainer } from '../routing/explain.js';
import type { Protostubs } from '../stubs/protostubs.js';
import { serve, type ConnectedProgram } from './connected-programs.js';
import { text } from './ua.js';

export interface RegistryServiceComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly hyperties: Hyperties;
  readonly stubs: Protostubs;
  readonly connections: Connections;
  readonly records: Records;
  readonly explainer: Explainer;
}

type ServiceAnswer = Record<string, unknown>;

/** `<runtime>/registry`: requests of programs to the runtime registry. @see docs/control.md */
export class RegistryService {
  readonly #components: RegistryServiceComponents;
  readonly #address: Address;
  readonly #runtime: Address;

  constructor(components: RegistryServiceComponents, { runtime }: { readonly runtime: Address }) {
    this.#components = components;
    this.#runtime = runtime;
    this.#address = child(runtime, 'registry');
    serve(components.bus, this.#address, (request, client) => this.#handle(request, client));
  }

  async #handle(request: Request, client: ConnectedProgram): Promise<ServiceAnswer | undefined> {
    const { hyperties } = this.#components;
    const { type, body } = request;
    switch (type) {
      case 'ping': return {};
      case 'create': {
        const { url } = await hyperties.register((body?.value ?? {}) as HypertySpec);
        return { value: hyperties.list().find((hyperty) => hyperty['url'] === url) };
      }
      case 'delete': return { value: { discarded: await hyperties.unregister(text(body?.resource)) } };
      case 'read': return { value: await this.#read(text(body?.resource), body?.value) };
      case 'execute': return { value: await this.#execute(text(body?.resource), body?.value, request) };
      case 'subscribe': return { value: this.#watch(text(body?.resource), client) };
      case 'unsubscribe':
        client.cleanups.get('p2p')?.();
        client.cleanups.delete('p2p');
        return {};
      default: throw new ProtoflyError('E_USAGE', `${this.#address} knows no ${type}`);
    }
  }

  async #read(resource: string, value: unknown): Promise<unknown> {
    const { hyperties, stubs, connections, records, explainer } = this.#components;
    switch (resource) {
      case 'hyperties': return hyperties.list();
      case 'protostubs': return stubs.list();
      case 'connections': return connections.list().map((connection) => connection.view());
      case '/discover': return (await records.discover((value ?? {}) as Criteria)).map(withVerification);
    }
    if (resource.startsWith('/lookup/')) return (await this.#lookup(resource.slice('/lookup/'.length))).map(withVerification);
    if (resource.startsWith('/resolve/')) return explainer.explain((await this.#one(resource.slice('/resolve/'.length))).url);
    if (!isAddress(resource)) throw new ProtoflyError('E_USAGE', `there is nothing called ${JSON.stringify(resource)} to read`);
    return withVerification(await this.#one(resource));
  }

  /** Looks up a name: first among this runtime's hyperties, then in the registries. */
  async #lookup(what: string): Promise<RegistryRecord[]> {
    const { hyperties, records } = this.#components;
    const own = what.includes('://') ? hyperties.find(parseAddress(what)) : undefined;
    return own === undefined ? records.lookup(what) : [hyperties.record(own)];
  }

  async #one(what: string): Promise<RegistryRecord> {
    const found = await this.#lookup(what);
    if (found.length === 1) return found[0]!;
    throw new ProtoflyError('E_AMBIGUOUS', `${what} can mean ${found.map(({ url, name }) => `${url}${name === undefined ? '' : ` (${name})`}`).join(', ')}`);
  }

  async #execute(resource: string, value: unknown, request: Request): Promise<unknown> {
    const { connections } = this.#components;
    const record = await this.host(text((value as { readonly address?: unknown } | undefined)?.address));
    switch (resource) {
      case '/p2p/connect': return (await connections.connect(record, (change) => { this.#progress(request, change); })).view();
      case '/p2p/disconnect': return (await connections.disconnect(record.runtime)).map((connection) => connection.view());
      case '/p2p/ping': return this.#ping(record.runtime);
      default: throw new ProtoflyError('E_USAGE', `there is nothing called ${JSON.stringify(resource)} to execute`);
    }
  }

  /**
   * Returns a record of the runtime at which `what` lives. Several records are fine if they name the same runtime.
   * @throws ProtoflyError
   */
  async host(what: string): Promise<RegistryRecord> {
    if (isAddress(what) && runtimeOf(parseAddress(what)) !== undefined) return this.#ofRuntime(runtimeOf(parseAddress(what))!);
    const found = await this.#lookup(what);
    if (new Set(found.map(({ runtime }) => runtime)).size > 1) {
      throw new ProtoflyError('E_AMBIGUOUS', `${what} can mean ${found.map(({ url, runtime }) => `${url} in ${runtime}`).join(', ')}`);
    }
    const record = found.find(({ p2pHandler }) => p2pHandler !== undefined) ?? found[0]!;
    if (record.runtime === this.#runtime) throw new ProtoflyError('E_USAGE', `${what} lives in this runtime`);
    return record;
  }

  /**
   * Returns the record of a hyperty in a runtime, preferably with a P2P handler; otherwise one made up for the runtime
   * itself.
   */
  async #ofRuntime(runtime: Address): Promise<RegistryRecord> {
    if (runtime === this.#runtime) throw new ProtoflyError('E_USAGE', `${runtime} is this runtime`);
    const found = await this.#components.records.ofRuntime(runtime);
    const record = found.find(({ p2pHandler }) => p2pHandler !== undefined);
    return record ?? { url: runtime, runtime, dataSchemes: [], resources: [], status: 'live', expires: 0 };
  }

  async #ping(runtime: Address): Promise<unknown> {
    const { bus, clock } = this.#components;
    const sent = clock.date();
    const started = performance.now();
    const response = await bus.ask({ type: 'ping', from: this.#address, to: runtime }, { timeoutMs: 5000 });
    const rttMs = Math.round((performance.now() - started) * 1000) / 1000;
    return { rttMs, path: response.body['path'] ?? 'msg-node', remoteRuntime: runtime, at: new Date(sent).toISOString() };
  }

  #progress(request: Request, { connection }: ConnectionChange): void {
    void this.#components.bus.post(respond(request, 183, { value: connection.view() }, this.#address));
  }

  #watch(resource: string, client: ConnectedProgram): unknown {
    if (resource !== '/p2p') throw new ProtoflyError('E_USAGE', `there is nothing called ${JSON.stringify(resource)} to watch`);
    const { bus, connections } = this.#components;
    client.cleanups.get('p2p')?.();
    client.cleanups.set('p2p', connections.onChange(({ connection, was, now, reason }) => {
      void bus.post({ id: 0, type: 'update', from: this.#address, to: client.address, body: { resource: '/p2p', value: { connection: view(connection), was, now, reason } } });
    }));
    return connections.list().map(view);
  }
}

/** Adds whether the user of a record has proved that it is his. */
const withVerification = (record: RegistryRecord): RegistryRecord => ({ ...record, verified: isVerified(record) });

const view = (connection: P2pConnection): ServiceAnswer => connection.view();
