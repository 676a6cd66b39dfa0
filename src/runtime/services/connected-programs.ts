import type { MessageBus, Origin } from '../../bus/index.js';
import type { Link } from '../../link/index.js';
import {
  asProtoflyError, child, idsOf, isResponse, combinedBackpressure, ProtoflyError, refuse, respond, SESSION, withIds,
  type Address, type Message, type Request, type Backpressure, type Response,
} from '../../protocol/index.js';
import type { Attachment, Program } from '../hyperties/inbox/index.js';
import { notHere, type Hyperties, type Hyperty } from '../hyperties/hyperties.js';

/** A program at the other end of the control socket. */
export class ConnectedProgram implements Origin {
  readonly isProgram = true;
  readonly link: Link<Message>;
  readonly attachments = new Map<Address, Attachment>();
  /** The hyperties as which the program has sent. */
  readonly sentAs = new Set<Hyperty>();
  /** Functions to be called when the program goes. */
  readonly cleanups = new Map<string, () => void>();
  readonly #log: ConnectedProgramsComponents['log'];
  #relief: Promise<void> | undefined;

  constructor({ link, log }: { readonly link: Link<Message>; readonly log: ConnectedProgramsComponents['log'] }, readonly address: Address, private readonly receipts: 'many' | 'each') {
    this.link = link;
    this.#log = log;
  }

  get name(): string {
    return this.address;
  }

  /** Backpressure while the program's link takes no responses: settles when it may send requests again. */
  get relief(): Backpressure {
    return this.#relief;
  }

  /**
   * Sends a response to the program. A response to several requests is split, unless the program accepts such. If the
   * link has ended, the response is dropped.
   */
  readonly answer = (response: Response): Backpressure => {
    const ids = idsOf(response);
    const answers = ids.length === 1 || this.receipts === 'many' ? [response] : ids.map((id) => withIds(response, [id]));
    try {
      return combinedBackpressure(answers.map((answer) => this.link.send(answer)));
    } catch (thrown) {
      this.#log('debug', `${this.address}: ${asProtoflyError(thrown).message}`);
      return undefined;
    }
  };

  /** Records the backpressure of a response to this program. */
  pressed(backpressure: Backpressure): void {
    if (backpressure !== undefined) this.#relief ??= backpressure.finally(() => { this.#relief = undefined; });
  }
}

export interface ConnectedProgramsComponents {
  readonly bus: MessageBus;
  readonly hyperties: Hyperties;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface ConnectedProgramsInit {
  readonly runtime: Address;
  readonly domain: string;
  readonly user: Address;
  /** Maximum number of bytes in flight from a program to one receiver. The program is told, so that it needn't send more. */
  readonly window: number;
}

/**
 * The programs connected to this runtime. Gives each an address, checks the senders of their messages, and attaches them
 * to hyperties. Anyone who can open the socket counts as the runtime's owner.
 */
export class ConnectedPrograms {
  readonly #components: ConnectedProgramsComponents;
  readonly #init: ConnectedProgramsInit;
  readonly #clients = new Map<Address, ConnectedProgram>();
  /** All open links, including those without a session. */
  readonly #links = new Set<Link<Message>>();
  #last = 0;
  /** Number of rejected frames of links that have ended. */
  #rejected = 0;

  constructor(components: ConnectedProgramsComponents, init: ConnectedProgramsInit) {
    this.#components = components;
    this.#init = init;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Number of frames that were no valid messages. */
  get rejected(): number {
    return [...this.#links].reduce((sum, { stats }) => sum + stats.rejected, this.#rejected);
  }

  /** Serves a link until it ends. */
  add(link: Link<Message>): void {
    let client: ConnectedProgram | undefined;
    this.#links.add(link);
    link.receive((message) => {
      if (client !== undefined) return this.#receive(client, message);
      if (isResponse(message)) return undefined;
      if (message.type !== 'open' || message.to !== SESSION) return link.send(refuse(message, new ProtoflyError('E_UNAUTHENTICATED', 'the first message is an open to mn:/session')));
      client = this.#open(link, receiptsOf(message));
      const { runtime, domain, user, window } = this.#init;
      return link.send(respond(message, 200, { value: { runtime, address: client.address, domain, user, window } }));
    });
    void link.closed.then(() => {
      this.#links.delete(link);
      this.#rejected += link.stats.rejected;
      if (client !== undefined) this.#leave(client);
    });
  }

  /** Attaches a program to a hyperty, given by name or address. @throws ProtoflyError `E_NOT_FOUND`, `E_CONFLICT` */
  attach(client: ConnectedProgram, what: string, options: Omit<Program, 'deliver'> = {}): Address {
    const hyperty = this.#components.hyperties.find(what);
    if (hyperty === undefined) throw notHere(what);
    if (client.attachments.has(hyperty.url)) throw new ProtoflyError('E_CONFLICT', `this program is attached to ${hyperty.url} already`);
    const attachment = hyperty.inbox.attach({ ...options, deliver: (message) => client.link.send(message) });
    client.attachments.set(hyperty.url, attachment);
    return hyperty.url;
  }

  /** Detaches a program from a hyperty. @throws ProtoflyError `E_NOT_FOUND` */
  detach(client: ConnectedProgram, what: string): Address {
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

  #open(link: Link<Message>, receipts: 'many' | 'each'): ConnectedProgram {
    this.#last += 1;
    const { bus, log } = this.#components;
    const client = new ConnectedProgram({ link, log }, child(child(this.#init.runtime, 'client'), String(this.#last)), receipts);
    this.#clients.set(client.address, client);
    client.cleanups.set('address', bus.addListener(client.address, (message) => (isResponse(message) ? client.answer(message) : link.send(message)), client));
    return client;
  }

  #leave(client: ConnectedProgram): void {
    if (!this.#clients.delete(client.address)) return;
    for (const undo of client.cleanups.values()) undo();
    for (const attachment of client.attachments.values()) attachment.detach();
    client.attachments.clear();
    for (const { inbox } of client.sentAs) inbox.forgetAsker(client.answer);
    this.#components.log('debug', `${client.address} has gone`);
  }

  #receive(client: ConnectedProgram, message: Message): Backpressure {
    if (message.from !== client.address) {
      const hyperty = this.#components.hyperties.find(message.from);
      if (hyperty === undefined) {
        return isResponse(message) ? undefined : client.link.send(refuse(message, new ProtoflyError('E_REFUSED', `${message.from} is neither this program nor a hyperty of this runtime`)));
      }
      if (isResponse(message)) {
        const answer = hyperty.inbox.answered(message, client.attachments.get(hyperty.url)?.program);
        return answer && this.#components.bus.post(answer, client);
      }
      hyperty.inbox.expectResponse(message.id, client.answer);
      client.sentAs.add(hyperty);
    }
    return this.#components.bus.post(message, client);
  }
}

/** Returns the form of receipts that a program chose when it opened its session. */
const receiptsOf = ({ body }: Request): 'many' | 'each' => ((body?.value as { readonly receipts?: unknown } | null | undefined)?.receipts === 'many' ? 'many' : 'each');

/**
 * Registers a handler for requests of local programs to one of the runtime's own addresses. Requests of others are
 * refused.
 * @returns a function that removes it
 */
export const serve = (
  bus: MessageBus,
  address: Address,
  handle: (request: Request, client: ConnectedProgram) => Promise<Record<string, unknown> | undefined>,
): (() => void) =>
  bus.addListener(address, (message, origin) => {
    if (isResponse(message)) return undefined;
    if (!(origin instanceof ConnectedProgram)) throw new ProtoflyError('E_REFUSED', `${address} is for programs of this runtime`);
    void handle(message, origin).then(
      (body) => { if (body !== undefined) origin.pressed(bus.post(respond(message, 200, body, address))); },
      (thrown: unknown) => { origin.pressed(bus.post(refuse(message, asProtoflyError(thrown), address))); },
    );
    // Don't wait for the response: a program may have many requests in flight. But one that takes no responses may send
    // no more.
    return origin.relief;
  });
