import { ProtoflyError, type Address } from '../../../protocol/index.js';
import type { MailLimits } from './limits.js';
import type { Card } from './mail.js';

/** The mail of one receiver or sender. */
export interface Share {
  readonly messages: number;
  readonly bytes: number;
}

type Counted = Pick<Card, 'to' | 'sender' | 'bytes'>;

/** The amount of mail per receiver, per sending runtime, and in total. */
export class Quota {
  readonly #limits: MailLimits;
  readonly #receivers = new Map<Address, Share>();
  readonly #senders = new Map<Address, Share>();
  #total: Share = { messages: 0, bytes: 0 };

  constructor(limits: MailLimits) {
    this.#limits = limits;
  }

  get total(): Share {
    return this.#total;
  }

  /** Checks that there is room for a message. @throws ProtoflyError `E_TOO_LARGE`, `E_QUOTA` */
  check({ to, sender, bytes }: Counted): void {
    const limits = this.#limits;
    if (bytes > limits.messageBytes) throw new ProtoflyError('E_TOO_LARGE', `a message of ${String(bytes)} bytes is not kept: at most ${String(limits.messageBytes)}`);
    const full = (share: Share | undefined, messages: number, most: number): boolean => share !== undefined && (share.messages >= messages || share.bytes + bytes > most);
    if (full(this.#receivers.get(to), limits.perReceiver, limits.bytesPerReceiver)) throw new ProtoflyError('E_QUOTA', `too much mail waits for ${to} already`);
    if (full(this.#senders.get(sender), limits.perSender, limits.bytesPerSender)) throw new ProtoflyError('E_QUOTA', `too much mail of ${sender} waits already`);
    if (full(this.#total, limits.messages, limits.bytes)) throw new ProtoflyError('E_QUOTA', 'too much mail waits in this domain already');
  }

  add(mail: Counted): void {
    this.#count(mail, 1, mail.bytes);
  }

  remove(mail: Counted): void {
    this.#count(mail, -1, -mail.bytes);
  }

  #count({ to, sender }: Counted, messages: number, bytes: number): void {
    this.#total = sum(this.#total, messages, bytes);
    for (const [shares, whose] of [[this.#receivers, to], [this.#senders, sender]] as const) {
      const share = sum(shares.get(whose), messages, bytes);
      if (share.messages > 0) shares.set(whose, share);
      else shares.delete(whose);
    }
  }
}

const sum = (share: Share | undefined, messages: number, bytes: number): Share =>
  ({ messages: (share?.messages ?? 0) + messages, bytes: (share?.bytes ?? 0) + bytes });
