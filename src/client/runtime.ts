import { child, type Address, type RegistryRecord } from '../protocol/index.js';
import { registryOf, uaOf, type AskOptions, type Client } from './client.js';
import type { ConnectionChange, ConnectionInfo, HypertyInfo, Resolution, RuntimeStatus, SenderInfo, Session, StubInfo } from './documents.js';

/** The requests of a program to its runtime (docs/control.md). */
export class Runtime {
  readonly client: Client;
  readonly session: Session;

  constructor(client: Client, session: Session) {
    this.client = client;
    this.session = session;
  }

  async status(): Promise<RuntimeStatus> {
    return (await this.client.ask(uaOf(this.session.runtime), 'read', { resource: 'status' })).body.value as RuntimeStatus;
  }

  /**
   * Calls `each` with the current status and after each change, until it returns true. Ends with the link or the
   * signal.
   */
  watchStatus(each: (status: RuntimeStatus) => boolean | Promise<boolean>): Promise<void> {
    return this.#watch(uaOf(this.session.runtime), 'status', (value) => each(value as RuntimeStatus));
  }

  async stop(): Promise<void> {
    await this.client.ask(uaOf(this.session.runtime), 'execute', { resource: 'stop' });
  }

  async hyperties(): Promise<readonly HypertyInfo[]> {
    return (await this.read('hyperties')) as readonly HypertyInfo[];
  }

  async protostubs(): Promise<readonly StubInfo[]> {
    return (await this.read('protostubs')) as readonly StubInfo[];
  }

  async connections(): Promise<readonly ConnectionInfo[]> {
    return (await this.read('connections')) as readonly ConnectionInfo[];
  }

  /** Returns the records that match user input, the best first. @throws ProtoflyError `E_NOT_FOUND` */
  async lookup(typed: string): Promise<readonly RegistryRecord[]> {
    const value = await this.read(`/lookup/${typed}`);
    return Array.isArray(value) ? (value as RegistryRecord[]) : Object.values(value as Record<string, RegistryRecord>);
  }

  async record(address: Address): Promise<RegistryRecord> {
    return (await this.read(address)) as RegistryRecord;
  }

  async discover(criteria: Readonly<Record<string, unknown>>): Promise<readonly RegistryRecord[]> {
    const value = await this.read('/discover', criteria);
    return Array.isArray(value) ? (value as RegistryRecord[]) : Object.values((value ?? {}) as Record<string, RegistryRecord>);
  }

  async resolve(address: Address): Promise<Resolution> {
    return (await this.read(`/resolve/${address}`)) as Resolution;
  }

  async register(value: Readonly<Record<string, unknown>>): Promise<HypertyInfo> {
    return (await this.client.ask(registryOf(this.session.runtime), 'create', { value })).body.value as HypertyInfo;
  }

  async unregister(what: string): Promise<{ readonly discarded?: number }> {
    return ((await this.client.ask(registryOf(this.session.runtime), 'delete', { resource: what })).body.value ?? {}) as { discarded?: number };
  }

  /** Returns who sends from an address. @throws ProtoflyError `E_TIMEOUT` */
  async sender(address: Address, timeoutMs?: number): Promise<SenderInfo> {
    return (await this.client.ask(child(this.session.runtime, 'user'), 'read', { resource: '/sender', value: { address } }, timeoutMs === undefined ? {} : { timeoutMs })).body.value as SenderInfo;
  }

  async p2p<T>(action: 'connect' | 'disconnect' | 'ping', address: string, options?: AskOptions): Promise<T> {
    return (await this.client.ask(registryOf(this.session.runtime), 'execute', { resource: `/p2p/${action}`, value: { address } }, options)).body.value as T;
  }

  /** Calls `first` with the current connections, then `each` after each change. Ends when either returns true. */
  async watchConnections(first: (connections: readonly ConnectionInfo[]) => boolean | Promise<boolean>, each: (change: ConnectionChange) => boolean | Promise<boolean>): Promise<void> {
    let started = false;
    await this.#watch(registryOf(this.session.runtime), '/p2p', (value) => {
      if (started) return each(value as ConnectionChange);
      started = true;
      return first((value ?? []) as readonly ConnectionInfo[]);
    });
  }

  async read(resource: string, value?: unknown): Promise<unknown> {
    return (await this.client.ask(registryOf(this.session.runtime), 'read', value === undefined ? { resource } : { resource, value })).body.value;
  }

  /** Subscribes, and passes on the first value and all later ones in order. */
  async #watch(to: Address, resource: string, each: (value: unknown) => boolean | Promise<boolean>): Promise<void> {
    const early: unknown[] = [];
    let finish: (() => void) | undefined;
    let fail: ((reason: unknown) => void) | undefined;
    const over = new Promise<void>((resolve, reject) => { finish = resolve; fail = reject; });
    over.catch(() => undefined);
    let first = true;
    let turn = Promise.resolve();
    const take = (value: unknown): Promise<void> => {
      turn = turn.then(async () => { if (await each(value)) finish?.(); }).catch((error: unknown) => { fail?.(error); });
      return turn;
    };
    this.client.onMessage((message) => {
      if (message.body?.resource !== resource) return undefined;
      if (first) { early.push(message.body.value); return undefined; }
      return take(message.body.value);
    });
    const answer = await this.client.ask(to, 'subscribe', { resource });
    first = false;
    void take(answer.body.value);
    for (const value of early) void take(value);
    await this.client.until(over);
  }
}
