import { asProtoflyError, catalogueAddress, domainOf, isWithin, runtimeOf, type Address, type RegistryRecord } from '../../protocol/index.js';
import type { StubCatalogue } from '../stubs/loader/index.js';
import type { Connections } from '../p2p/connections.js';
import type { Hyperties } from '../hyperties/hyperties.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import type { P2pConnection } from '../p2p/p2p-connection.js';
import { requesterIn } from '../p2p/requesters.js';
import type { Protostub, Protostubs } from '../stubs/protostubs.js';
import type { Records } from '../directory/records.js';
import { viaNode } from './route-finder.js';

export interface ExplainerComponents {
  readonly records: Records;
  readonly hyperties: Hyperties;
  readonly connections: Connections;
  readonly nodes: MessageNodes;
  readonly stubs: Protostubs;
  readonly catalogue: StubCatalogue;
}

/** One step of a routing decision, in words. */
export interface Step {
  readonly step: string;
  readonly result: string;
}

export interface Explanation {
  readonly address: Address;
  readonly path: 'local' | 'p2p' | 'msg-node';
  readonly stub?: Address;
  readonly steps: readonly Step[];
}

/**
 * Explains which route a message would take now: the decisions of `Router`, without a message. Only asks registries;
 * deploys no stub. A stub that would have to be deployed is downloaded and checked.
 */
export class Explainer {
  readonly #components: ExplainerComponents;
  readonly #runtime: Address;

  constructor(components: ExplainerComponents, { runtime }: { readonly runtime: Address }) {
    this.#components = components;
    this.#runtime = runtime;
  }

  /** Explains the route to an address. @throws ProtoflyError when a registry can't be asked */
  async explain(to: Address): Promise<Explanation> {
    const { hyperties, records, connections } = this.#components;
    const steps: Step[] = [];
    const note = (step: string, result: string): void => { steps.push({ step, result }); };
    if (hyperties.find(to) !== undefined || isWithin(to, this.#runtime)) {
      note('here?', 'yes, in this runtime');
      return { address: to, path: 'local', steps };
    }
    note('here?', 'no');
    const domain = domainOf(to);
    if (viaNode(to)) {
      note('kind of address', 'a function of a domain, a data object of P2P set-up or a P2P stub: always through the message node');
      return this.#throughNode(to, steps, note);
    }
    const cached = records.known(to) !== undefined;
    const record = runtimeOf(to) === undefined ? await records.find(to, 'program') : undefined;
    const runtime = runtimeOf(to) ?? record?.runtime;
    note('registry', record === undefined
      ? (runtime === undefined ? `${domain} has no record of it` : 'not asked: the address names its runtime')
      : `${record.status}, lives in ${record.runtime}; ${cached ? 'remembered' : 'read'} from domain://registry.${domain}`);
    const connection = runtime === undefined ? undefined : connections.live(runtime);
    if (connection !== undefined) {
      note('P2P connection', `live, by the ${connection.role} ${connection.stub}`);
      note('protostub', this.#deployed(connection));
      return { address: to, path: 'p2p', stub: connection.stub, steps };
    }
    const suspect = runtime === undefined ? undefined : connections.suspect(runtime);
    if (suspect !== undefined) note('P2P connection', `live, but ${suspect.reason ?? 'suspect'}: another way is taken where there is one`);
    else note('P2P connection', runtime !== undefined && connections.busy(runtime) ? 'being set up: messages don\'t wait for it' : 'none');
    if (record?.p2pHandler === undefined) note('P2P wanted?', 'no: the other side has no P2P handler');
    else if (connections.handler === undefined) note('P2P wanted?', 'no: this runtime has no P2P handler');
    else {
      note('P2P wanted?', 'yes, with the first message');
      note('P2P requester', await this.#requester(record));
    }
    return this.#throughNode(to, steps, note);
  }

  async #requester(record: RegistryRecord): Promise<string> {
    try {
      const origin = requesterIn(record, domainOf(this.#runtime));
      return origin === undefined ? 'the record names none: the own domain\'s' : await this.#available(origin);
    } catch (thrown) {
      return asProtoflyError(thrown).message;
    }
  }

  async #throughNode(to: Address, steps: Step[], note: (step: string, result: string) => void): Promise<Explanation> {
    const domain = domainOf(to);
    const stub = this.#components.nodes.deployed(domain);
    note('message node', stub === undefined ? `of ${domain}, its stub is to be deployed` : `of ${domain}, its stub is ${stub.status}${stub.loaded.config.url === undefined ? '' : `, at ${stub.loaded.config.url}`}`);
    note('protostub', stub === undefined ? await this.#available(catalogueAddress(domain, 'protocolstub', 'default')) : describe(stub));
    return { address: to, path: 'msg-node', ...(stub === undefined ? {} : { stub: stub.address }), steps };
  }

  #deployed({ stub }: P2pConnection): string {
    const deployed = this.#components.stubs.get(stub);
    return deployed === undefined ? `${stub} is gone` : describe(deployed);
  }

  /** Describes a catalogue entry, or the reason why it can't be used. */
  async #available(origin: Address): Promise<string> {
    try {
      const { descriptor, hash, from, keyId } = await this.#components.catalogue.find(origin);
      return `${origin} ${words({ version: descriptor.version, hash, from, keyId })}`;
    } catch (thrown) {
      const { code, message } = asProtoflyError(thrown);
      return `can't be used: ${message} (${code})`;
    }
  }
}

const describe = ({ init, loaded }: Protostub): string =>
  `${init.origin} ${words({ version: loaded.descriptor.version, hash: loaded.hash, from: loaded.from, keyId: loaded.keyId })}${loaded.pid === undefined ? '' : `, in sandbox process ${String(loaded.pid)}`}`;

const words = ({ version, hash, from, keyId }: { readonly version: string; readonly hash: string; readonly from: string; readonly keyId: string | undefined }): string =>
  `version ${version}, ${hash}, from the ${from === 'built-in' ? 'installation' : from}${keyId === undefined ? '' : `, signed by ${keyId}`}`;
