import type { MessageBus, Origin, Pressure } from '../../bus/index.js';
import type { Link } from '../../link/index.js';
import {
  asProtoflyError, child, isResponse, ProtoflyError, refuse, respond, SESSION,
  type Address, type Message, type Request,
} from '../../protocol/index.js';
import type { Attachment } from '../inbox/index.js';
import { notHere, type Hyperties } from '../registry/index.js';

/** A program at the other end of the runtime's socket. */
export class Client implements Origin {
  readonly attachments = new Map<Address, Attachment>();
  /** What has to be undone when the program goes. */
  readonly cleanups = new Map<string, () => void>();
  #relief: Promise<void> | undefined;

  constructor(readonly address: Address, readonly link: Link<Message>) {}

  get name(): string {
    return this.address;
  }

  /** While this program takes no answers: settles when it may ask again. */
  get relief(): Pressure {
    return this.#relief;
  }

  /** Takes note of what an answer met on its way to this program. */
  pressed(pressure: Pressure): void {
    if (pressure !== undefined) this.#relief ??= pressure.finally(() => { this.#relief = undefined; });
  }
}

export interface ClientsComponents {
  readonly bus: MessageBus;
  readonly hyperties: Hyperties;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface ClientsInit {
  readonly runtime: Address;
  readonly domain: string;
  readonly user: Address;
}

/**
 * The programs that are connected to this runtime: gives each an address, checks who they say they are, and attaches
 * them to hyperties. Whoever can open the socket is the runtime's owner.
 */
export class Clients {
  readonly #components: ClientsComponents;
  readonly #init: ClientsInit;
  readonly #clients = new Map<Address, Client>();
  /** Every link that is open, also before its session is. */
  readonly #links = new Set<Link<Message>>();
  #last = 0;
  /** Over links that have ended. */
  #rejected = 0;

  constructor(components: ClientsComponents, init: ClientsInit) {
    this.#components = components;
    this.#init = init;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** How many frames of programs were no messages. */
  get rejected(): number {
    return [...this.#links].reduce((sum, { stats }) => sum + stats.rejected, this.#rejected);
  }

  /** Serves a link until it ends. */
  add(link: Link<Message>): void {
    let client: Client | undefined;
    this.#links.add(link);
    link.receive((message) => {
      if (client !== undefined) return this.#receive(client, message);
      if (isResponse(message)) return undefined;
      if (message.type !== 'open' || message.to !== SESSION) return link.send(refuse(message, new ProtoflyError('E_UNAUTHENTICATED', 'the first message is an open to mn:/session')));
      client = this.#open(link);
      const { runtime, domain, user } = this.#init;
      return link.send(respond(message, 200, { value: { runtime, address: client.address, domain, user } }));
    });
    void link.closed.then(() => {
      this.#links.delete(link);
      this.#rejected += link.stats.rejected;
      if (client !== undefined) this.#leave(client);
    });
  }

  /** Attaches a program to a hyperty, by name or address. @throws ProtoflyError `E_NOT_FOUND`, `E_CONFLICT` */
  attach(client: Client, what: string, window?: number): Address {
    const hyperty = this.#components.hyperties.find(what);
    if (hyperty === undefined) throw notHere(what);
    if (client.attachments.has(hyperty.url)) throw new ProtoflyError('E_CONFLICT', `this program is attached to ${hyperty.url} already`);
    const attachment = hyperty.inbox.attach({
      deliver: (message) => client.link.send(message),
      ...(window === undefined ? {} : { window }),
    });
    client.attachments.set(hyperty.url, attachment);
    return hyperty.url;
  }

  /** @throws ProtoflyError `E_NOT_FOUND` */
  detach(client: Client, what: string): Address {
    const url = this.#components.hyperties.find(what)?.url ?? (what as Address);
    const attachment = client.attachments.get(url);
    if (attachment === undefined) throw new ProtoflyError('E_NOT_FOUND', `this program is not attached to ${what}`);
    client.attachments.delete(url);
    attachment.detach();
    return url;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map(async (client) => {
      this.#leave(client);
      await client.link.close('the runtime stops');
    }));
  }

  #open(link: Link<Message>): Client {
    this.#last += 1;
    const client = new Client(child(child(this.#init.runtime, 'client'), String(this.#last)), link);
    this.#clients.set(client.address, client);
    client.cleanups.set('address', this.#components.bus.addListener(client.address, (message) => link.send(message), client));
    return client;
  }

  #leave(client: Client): void {
    if (!this.#clients.delete(client.address)) return;
    for (const undo of client.cleanups.values()) undo();
    for (const attachment of client.attachments.values()) attachment.detach();
    client.attachments.clear();
    this.#components.log('debug', `${client.address} has gone`);
  }

  #receive(client: Client, message: Message): Pressure {
    if (message.from !== client.address) {
      const hyperty = this.#components.hyperties.find(message.from);
      if (hyperty === undefined) {
        return isResponse(message) ? undefined : client.link.send(refuse(message, new ProtoflyError('E_REFUSED', `${message.from} is neither this program nor a hyperty of this runtime`)));
      }
      if (!isResponse(message)) hyperty.inbox.expectResponse(message.id, (response) => this.#answer(client, response));
    }
    return this.#components.bus.post(message, client);
  }

  #answer(client: Client, response: Message): Pressure {
    try {
      return client.link.send(response);
    } catch (thrown) {
      // The program has gone before its answer came.
      this.#components.log('debug', `${client.address}: ${asProtoflyError(thrown).message}`);
      return undefined;
    }
  }
}

/** Answers requests of programs to one of the runtime's own addresses. Others are refused. */
export const serve = (
  bus: MessageBus,
  address: Address,
  handle: (request: Request, client: Client) => Promise<Record<string, unknown> | undefined>,
): (() => void) =>
  bus.addListener(address, (message, origin) => {
    if (isResponse(message)) return undefined;
    if (!(origin instanceof Client)) throw new ProtoflyError('E_REFUSED', `${address} is for programs of this runtime`);
    void handle(message, origin).then(
      (body) => { if (body !== undefined) origin.pressed(bus.post(respond(message, 200, body, address))); },
      (thrown: unknown) => { origin.pressed(bus.post(refuse(message, asProtoflyError(thrown), address))); },
    );
    // Not until it is answered: a program may have many questions under way. But who takes no answers asks no more.
    return origin.relief;
  });
