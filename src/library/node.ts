import type { Link } from '../link/index.js';
import { Client, registryOf } from '../client/client.js';
import type { ConnectionChange, ConnectionInfo, SenderInfo, RuntimeStatus } from '../client/documents.js';
import { Runtime as RuntimeView } from '../client/runtime.js';
import { parseAddress, type Address, type Message, type RegistryRecord } from '../protocol/index.js';
import type { Criteria } from '../runtime/index.js';
import { Hyperty, onlyOne } from './hyperty.js';
import { ProgramSendQueue } from './send-queue.js';
import { UntilEnd } from './until-end.js';

export type { Criteria };

export interface RegisterOptions {
  /** Resources of the registration, by which others can find it. @default none */
  readonly resources?: readonly string[];
  /** Data schemas of the registration, by which others can find it. @default none */
  readonly dataSchemes?: readonly string[];
  /** True to offer P2P connections in the registration. @default true */
  readonly p2p?: boolean;
}

export interface NodeInit {
  /** Called when the node is closed. */
  readonly end: () => Promise<void>;
  /** True if the runtime's addresses end with it. They are then unregistered on close, so that nobody sends to them. */
  readonly transient: boolean;
  /** Path of the runtime's control socket. @default none, for a runtime in this process */
  readonly socket?: string;
}

/** Time to unregister the addresses on close, in milliseconds. */
const GOODBYE_MS = 1000;
/** The resource of changes of P2P connections: docs/control.md. */
const CONNECTIONS = '/p2p';

/**
 * A runtime, as seen by a program. The runtime may live in this process (`startRuntime`) or be the daemon of a
 * profile (`connectRuntime`). Both offer the same.
 */
export class Node {
  /** The runtime's address. */
  readonly address: Address;
  readonly #client: Client;
  readonly #outlet: ProgramSendQueue;
  readonly #view: RuntimeView;
  readonly #init: NodeInit;
  readonly #untilEnd = new UntilEnd();
  readonly #hyperties = new Map<string, Hyperty>();
  readonly #listeners = new Set<(change: ConnectionChange) => void>();
  #ending: Promise<void> | undefined;

  /** Opens the session over a link to a runtime. @throws ProtoflyError */
  static async open(link: Link<Message>, init: NodeInit): Promise<Node> {
    const client = await Client.open(link, init.socket === undefined ? {} : { socket: init.socket });
    return new Node(client.client, new RuntimeView(client.client, client.session), init);
  }

  private constructor(client: Client, view: RuntimeView, init: NodeInit) {
    this.#client = client;
    this.#outlet = new ProgramSendQueue({ post: (message) => client.post(message) });
    this.#view = view;
    this.#init = init;
    this.address = view.session.runtime;
    client.onMessage((message) => {
      if (typeof message.to !== 'string') return undefined;
      if (message.to !== client.address) return this.#hyperties.get(message.to)?.accept(message);
      if (message.body?.resource === CONNECTIONS) for (const listener of [...this.#listeners]) listener(message.body.value as ConnectionChange);
      return undefined;
    });
    client.onResponse((response) => { this.#hyperties.get(response.to)?.settle(response); });
  }

  /**
   * Registers a hyperty, or attaches to the one that this runtime already has under that name.
   * @throws ProtoflyError
   */
  register(name: string, options: RegisterOptions = {}): Promise<Hyperty> {
    return this.#untilEnd.run(async () => {
      const known = (await this.#view.hyperties()).find((hyperty) => hyperty.name === name);
      const { url } = known ?? await this.#view.register({ name, ...options });
      const hyperty = new Hyperty({ client: this.#client, outlet: this.#outlet, runtime: this.address, find: (typed) => this.find(typed), untilEnd: this.#untilEnd }, { name, address: parseAddress(url) });
      this.#hyperties.set(hyperty.address, hyperty);
      return hyperty;
    });
  }

  /** Removes a hyperty permanently, with its inbox. @throws ProtoflyError `E_NOT_FOUND` */
  unregister(name: string): Promise<void> {
    return this.#untilEnd.run(async () => { await this.#view.unregister(name); });
  }

  /**
   * Resolves `user`, `user/name` or `user/name@domain` to an address.
   * @throws ProtoflyError `E_NOT_FOUND`, `E_AMBIGUOUS`
   */
  find(typed: string): Promise<Address> {
    return this.#untilEnd.run(async () => (typed.includes('://') ? parseAddress(typed) : onlyOne(typed, (await this.#view.lookup(typed)).map(({ url }) => url))));
  }

  /** Returns the registry's records of matching hyperties; possibly none. @throws ProtoflyError */
  discover(criteria: Criteria = {}): Promise<readonly RegistryRecord[]> {
    return this.#untilEnd.run(() => this.#view.discover({ ...criteria }));
  }

  /** Returns who sends from an address, and whether he has proved it. @throws ProtoflyError */
  sender(address: string): Promise<SenderInfo> {
    return this.#untilEnd.run(async () => this.#view.sender(parseAddress(address)));
  }

  /** Waits until there is a P2P connection to the runtime of an address. @throws ProtoflyError */
  connect(typed: string): Promise<ConnectionInfo> {
    return this.#untilEnd.run(() => this.#view.p2p<ConnectionInfo>('connect', typed, { timeoutMs: 20_000 }));
  }

  /** Ends the P2P connections to the runtime of an address. @throws ProtoflyError */
  disconnect(typed: string): Promise<void> {
    return this.#untilEnd.run(async () => { await this.#view.p2p('disconnect', typed); });
  }

  connections(): Promise<readonly ConnectionInfo[]> {
    return this.#untilEnd.run(() => this.#view.connections());
  }

  /**
   * Calls `listener` after each change of a P2P connection: of its state, its health, or its generation.
   * @returns a function that removes the listener
   * @throws ProtoflyError `E_LINK_CLOSED`, `E_TIMEOUT`
   */
  onConnection(listener: (change: ConnectionChange) => void): Promise<() => void> {
    return this.#untilEnd.run(async () => {
      this.#listeners.add(listener);
      await this.#client.ask(registryOf(this.address), 'subscribe', { resource: CONNECTIONS });
      return () => { this.#listeners.delete(listener); };
    });
  }

  status(): Promise<RuntimeStatus> {
    return this.#untilEnd.run(() => this.#view.status());
  }

  /**
   * Closes the link to the runtime, and stops the runtime if it was started here. Operations in progress fail with
   * `E_LINK_CLOSED`. Idempotent.
   */
  close(): Promise<void> {
    this.#ending ??= this.#close();
    return this.#ending;
  }

  async #close(): Promise<void> {
    this.#untilEnd.begin();
    // Ignore failures: the runtime may be gone or the domain unreachable, and the domain forgets the addresses by
    // itself.
    if (this.#init.transient) await this.#client.until(this.#unregisterAll(), GOODBYE_MS).catch(() => undefined);
    try {
      await this.#client.close();
      await Promise.all([...this.#hyperties.values()].map((hyperty) => hyperty.close()));
    } finally {
      await this.#init.end();
    }
  }

  async #unregisterAll(): Promise<void> {
    await Promise.all((await this.#view.hyperties()).map(({ name }) => this.#view.unregister(name)));
  }
}

