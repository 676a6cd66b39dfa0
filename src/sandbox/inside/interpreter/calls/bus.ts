import type { Link } from '../../../../link/index.js';
import type { Mux } from '../../../../link/mux/index.js';
import { decodeToPassOn, encodeMessage, isWithin, parseAddress, ProtoflyError, textMessage, type Address, type Backpressure, type Message } from '../../../../protocol/index.js';
import { hostCall, Open } from '../host-call.js';
import type { CallGroup, Tell } from './group.js';

/** Refuses what the runtime would. @throws ProtoflyError `E_MESSAGE`, `E_TOO_LARGE` */
const checkedText = (text: string): string => {
  decodeToPassOn(text);
  return text;
};

/** The channel of the stub itself. */
const OWN = 0;
const MAX_PORTS = 1000;

export interface BusCallsComponents {
  readonly link: Link<Message>;
  readonly mux: Mux;
  readonly tell: Tell;
}

/** The channels of one stub: messages cross as text, backpressure as numbered tickets. */
export class BusCalls implements CallGroup {
  readonly #tell: Tell;
  readonly #own: Link<Message>;
  readonly #ports = new Open<Link<Message>>('ports', MAX_PORTS);
  /** Messages that the stub hasn't taken yet, by its ticket. */
  readonly #untaken = new Map<number, () => void>();
  /** While a message is given to the stub: the ticket that it settled meanwhile, 0 for none. */
  #giving: { taken: number } | undefined;
  #lastChannel = OWN;
  #lastTicket = 0;
  readonly calls;

  constructor({ link, mux, tell }: BusCallsComponents, { owner }: { readonly owner: Address }) {
    this.#tell = tell;
    this.#own = link;
    const channel = (id: number): Link<Message> => {
      const found = id === OWN ? link : this.#ports.get(id);
      if (found === undefined) throw new ProtoflyError('E_LINK_CLOSED', 'the port is closed');
      return found;
    };
    this.calls = {
      send: hostCall(['number', 'text'], (id, text) => this.#ticketFor(channel(id).send(textMessage(checkedText(text))))),
      taken: hostCall(['number'], (ticket) => {
        const settle = this.#untaken.get(ticket);
        this.#untaken.delete(ticket);
        if (settle !== undefined) settle();
        else if (this.#giving !== undefined) this.#giving.taken = ticket;
      }),
      openPort: hostCall(['text'], (text) => {
        const address = parseAddress(text);
        if (!isWithin(address, owner) || address === owner) throw new ProtoflyError('E_CONFLICT', `${address} can't be a port of ${owner}`);
        const id = ++this.#lastChannel;
        this.#ports.checkRoom(id);
        const port = mux.open(address);
        this.#ports.add(id, port);
        void port.closed.then(({ how, reason }) => {
          this.#ports.delete(id);
          this.#tell('channel-closed', id, how, reason);
        });
        return id;
      }),
      // A link may deliver at once, and nothing enters the realm while it runs.
      listen: hostCall(['number'], (id) => {
        const found = channel(id);
        queueMicrotask(() => { found.receive((message) => this.#deliver(id, message)); });
      }),
      closePort: hostCall(['number'], (id) => { void this.#ports.get(id)?.close('closed by the stub'); }),
    };
  }

  /** Starts the delivery of the stub's own messages. */
  listen(): void {
    this.#own.receive((message) => this.#deliver(OWN, message));
  }

  close(): void {
    for (const port of this.#ports.takeAll()) void port.close('undeployed');
    for (const settle of this.#untaken.values()) settle();
    this.#untaken.clear();
  }

  #ticketFor(backpressure: Backpressure): number {
    if (backpressure === undefined) return 0;
    const ticket = ++this.#lastTicket;
    void backpressure.then(() => { this.#tell('drained', ticket); });
    return ticket;
  }

  #deliver(id: number, message: Message): Backpressure {
    const giving = { taken: 0 };
    this.#giving = giving;
    const ticket = this.#tell('message', id, encodeMessage(message));
    this.#giving = undefined;
    return ticket === giving.taken ? undefined : new Promise((resolve) => { this.#untaken.set(ticket, resolve); });
  }
}
