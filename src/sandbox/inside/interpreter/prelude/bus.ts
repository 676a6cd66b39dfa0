import type { Link, LinkEnd } from '../../../../link/link.js';
import { MAX_MESSAGE_BYTES, parseAddress, ProtoflyError, type Address, type Backpressure, type Message } from '../../../../protocol/index.js';
import { MiniBus } from '../../mini-bus.js';
import { counter, host } from './host.js';
import { clock } from './timers.js';

type Receiver = (message: Message) => Backpressure;

interface Channel {
  receiver: Receiver;
  readonly end: (end: LinkEnd) => void;
}

const channels = new Map<number, Channel>();
const waiting = new Map<number, () => void>();
const nextTicket = counter();

const ignore: Receiver = () => undefined;

/** A channel of the stub, as the link that the mini bus works with. */
const linkTo = (id: number, name: string): Link<Message> => {
  let end: (end: LinkEnd) => void = () => undefined;
  const closed = new Promise<LinkEnd>((resolve) => { end = resolve; });
  const channel: Channel = { receiver: ignore, end };
  channels.set(id, channel);
  return {
    name, closed, stats: { sent: 0, received: 0, rejected: 0 },
    send: (message) => {
      const text = JSON.stringify(message);
      if (text.length > MAX_MESSAGE_BYTES) throw new ProtoflyError('E_TOO_LARGE', `the message is larger than ${String(MAX_MESSAGE_BYTES)} bytes`);
      const ticket = host.send(id, text);
      return ticket === 0 ? undefined : new Promise((resolve) => { waiting.set(ticket, resolve); });
    },
    receive: (receiver) => {
      channel.receiver = receiver;
      if (id !== 0) host.listen(id);
    },
    close: () => {
      if (id !== 0) host.closePort(id);
      return Promise.resolve();
    },
  };
};

export const onMessage = (id: number, text: string): number => {
  const pressure = channels.get(id)?.receiver(JSON.parse(text) as Message);
  if (pressure === undefined) return 0;
  const ticket = nextTicket();
  void pressure.then(() => { host.taken(ticket); });
  return ticket;
};

export const onDrained = (ticket: number): void => {
  waiting.get(ticket)?.();
  waiting.delete(ticket);
};

export const onChannelClosed = (id: number, how: string, reason: string): void => {
  channels.get(id)?.end({ how: how === 'closed' ? 'closed' : 'gone', reason });
  channels.delete(id);
};

export const createBus = (owner: Address, log: (level: 'debug' | 'info' | 'warn', text: string) => void): MiniBus => {
  const mux = { open: (address: string) => linkTo(host.openPort(parseAddress(address)), address) };
  return new MiniBus({ link: linkTo(0, owner), mux, clock, log }, { owner });
};
