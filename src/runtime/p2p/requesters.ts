import type { MessageBus } from '../../bus/index.js';
import { asProtoflyError, child, domainOf, ProtoflyError, type Address, type Clock, type Message, type Backpressure, type RegistryRecord } from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import type { Ice } from '../ice/index.js';
import type { ConnectionList } from './connection-list.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import { P2pConnection } from './p2p-connection.js';
import type { P2pOffer } from './p2p-handler.js';
import type { Protostubs } from '../stubs/protostubs.js';

export interface RequestersComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly stubs: Protostubs;
  readonly nodes: MessageNodes;
  /** The list to which connections are added. */
  readonly list: ConnectionList;
  /** The ICE servers for set-ups. */
  readonly ice: { ready(): Promise<Ice> };
  /** The last set-up's generation by remote runtime. */
  readonly generations: Collection<number>;
  /** Returns the P2P stubs of this runtime's domain. @throws ProtoflyError as `StubCatalogue.describe` */
  readonly offered: () => Promise<P2pOffer>;
  readonly admit: (message: Message, connection: P2pConnection) => Backpressure;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface RequestersInit {
  readonly runtime: Address;
  readonly enabled: boolean;
  readonly setupMs: number;
}

const isWanted = ({ status }: P2pConnection): boolean => status === 'created' || status === 'in-progress' || status === 'live';

/**
 * Returns the catalogue address of the stub that connects to the runtime of a record. It must be in the catalogue of the
 * record's own domain or of this runtime's: a record leads to no third domain (docs/protocol.md, STB-9).
 * @returns undefined if the record names none
 * @throws ProtoflyError `E_STRANGER`
 */
export const requesterIn = ({ url, p2pRequester }: RegistryRecord, own: string): Address | undefined => {
  if (p2pRequester === undefined || [own, domainOf(url)].includes(domainOf(p2pRequester))) return p2pRequester;
  throw new ProtoflyError('E_STRANGER', `the record of ${url} names a stub of another domain: ${p2pRequester}`, { hint: 'messages go through the message node' });
};

/** The P2P requester stubs of this runtime. Each sets up one connection and ends with it. */
export class Requesters {
  readonly #components: RequestersComponents;
  readonly #init: RequestersInit;
  readonly #settingUp = new Map<Address, Promise<void>>();
  #last = 0;

  constructor(components: RequestersComponents, init: RequestersInit) {
    this.#components = components;
    this.#init = init;
  }

  /** True if a stub for a connection to that runtime is being deployed. */
  isSettingUp(remoteRuntime: Address): boolean {
    return this.#settingUp.has(remoteRuntime);
  }

  /**
   * Deploys a stub that sets up a connection to the runtime of a record. Concurrent calls for one runtime share a set-up.
   * @throws ProtoflyError `E_REFUSED`, `E_USAGE`, or as `Protostubs.deploy`
   */
  setUp(record: RegistryRecord): Promise<void> {
    const running = this.#settingUp.get(record.runtime) ?? this.#deploy(record).finally(() => this.#settingUp.delete(record.runtime));
    this.#settingUp.set(record.runtime, running);
    return running;
  }

  /** Makes a stub set up the next generation of its connection, beside the present one. */
  async renew({ stub }: P2pConnection): Promise<void> {
    const { runtime, setupMs } = this.#init;
    // A first attempt without pause may be followed by another.
    await this.#components.bus.ask({ type: 'execute', from: child(runtime, 'registry'), to: stub, body: { resource: '/reconnect' } }, { timeoutMs: 2 * setupMs + 1000 });
  }

  /** Stores the generation of a live connection. Repeated attempts may have used several. */
  succeeded(connection: P2pConnection): void {
    const { generation } = connection.details;
    if (typeof generation !== 'number' || generation === connection.generation) return;
    connection.generation = generation;
    const { generations, log } = this.#components;
    generations.put(connection.remoteRuntime, generation).catch((thrown: unknown) => { log('warn', asProtoflyError(thrown).message); });
  }

  /** Undeploys the stub of a connection that has failed or was lost. */
  dismiss({ stub, address }: P2pConnection): void {
    const { stubs, nodes, log } = this.#components;
    void stubs.get(stub)?.undeploy().catch((thrown: unknown) => { log('debug', asProtoflyError(thrown).message); });
    nodes.unsubscribe([address], child(this.#init.runtime, 'registry')).catch((thrown: unknown) => { log('debug', asProtoflyError(thrown).message); });
  }

  async #deploy(record: RegistryRecord): Promise<void> {
    const { runtime: remoteRuntime, p2pHandler } = record;
    const { runtime, enabled, setupMs } = this.#init;
    if (!enabled) throw new ProtoflyError('E_REFUSED', 'P2P is switched off in this runtime', { hint: 'start it without --no-p2p' });
    if (p2pHandler === undefined) throw new ProtoflyError('E_REFUSED', `${record.url} takes no P2P connections`);
    if (remoteRuntime === runtime) throw new ProtoflyError('E_USAGE', `${record.url} lives in this runtime`);
    const { list, stubs, nodes, ice, clock, generations, offered, admit, log } = this.#components;
    const generation = (generations.get(remoteRuntime) ?? 0) + 1;
    this.#last += 1;
    const url = child(child(runtime, 'p2prequester'), String(this.#last));
    const connection = list.add(new P2pConnection({ clock }, { address: url, stub: url, role: 'requester', remoteRuntime, generation, record }));
    try {
      await generations.put(remoteRuntime, generation);
      if (!isWanted(connection)) return;
      const stub = await stubs.deploy({
        url,
        kind: 'p2p-requester',
        domain: domainOf(remoteRuntime),
        // If the record names no requester stub, the remote runtime uses the same protocol as this domain's stubs.
        origin: requesterIn(record, domainOf(runtime)) ?? (await offered()).p2pRequester,
        config: { runtimeURL: runtime, remoteRuntimeURL: remoteRuntime, p2pHandler, ...(await ice.ready()), generation, setupMs },
        cause: 'remote',
        admit: (message) => admit(message, connection),
        onStatus: (event) => { list.step(connection, event.status, event.description, event.details); },
        onEnd: (reason) => { list.lost(connection, reason); },
      });
      // It may have given way while its stub was being deployed.
      if (!isWanted(connection)) { await stub.undeploy(); return; }
      connection.link = stub.loaded.link;
    } catch (thrown) {
      list.step(connection, 'failed', asProtoflyError(thrown).message);
      throw thrown;
    }
    nodes.subscribe([url], child(runtime, 'registry')).catch((thrown: unknown) => { log('debug', `return path of ${url}: ${asProtoflyError(thrown).message}`); });
  }
}
