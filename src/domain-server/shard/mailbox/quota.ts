import { ProtoflyError } from '../../../protocol/index.js';
import type { MailLimits } from './limits.js';
import type { Card } from './mail.js';

/** An amount of mail. */
export interface Amount {
  readonly messages: number;
  readonly bytes: number;
}

type Counted = Pick<Card, 'to' | 'sender' | 'holder' | 'bytes'>;

interface Account {
  readonly key: string;
  readonly most: Amount;
  readonly refusal: string;
  /** True if others still have room. */
  readonly isShare?: boolean;
}

const NOTHING: Amount = { messages: 0, bytes: 0 };
const TOTAL = 'all';

const part = ({ messages, bytes }: Amount, of: number): Amount => ({ messages: Math.max(1, Math.floor(messages * of)), bytes: bytes * of });

/** The amount of mail per receiver, per sending runtime, per remote address, and in total. */
export class Quota {
  readonly #limits: MailLimits;
  readonly #amounts = new Map<string, Amount>();
  #refusedShares = 0;

  constructor(limits: MailLimits) {
    this.#limits = limits;
  }

  get total(): Amount {
    return this.#amounts.get(TOTAL) ?? NOTHING;
  }

  /** The messages refused since the start because their sender had his share, though there was room for others. */
  get refusedShares(): number {
    return this.#refusedShares;
  }

  /** Checks that there is room for a message. @throws ProtoflyError `E_TOO_LARGE`, `E_QUOTA` */
  check(mail: Counted): void {
    const { bytes } = mail;
    const { messageBytes } = this.#limits;
    if (bytes > messageBytes) throw new ProtoflyError('E_TOO_LARGE', `a message of ${String(bytes)} bytes is not kept: at most ${String(messageBytes)}`);
    const full = this.#accountsOf(mail).find(({ key, most }) => {
      const now = this.#amounts.get(key);
      return now !== undefined && (now.messages >= most.messages || now.bytes + bytes > most.bytes);
    });
    if (full === undefined) return;
    if (full.isShare === true) this.#refusedShares += 1;
    throw new ProtoflyError('E_QUOTA', full.refusal);
  }

  add(mail: Counted): void {
    this.#count(mail, 1);
  }

  remove(mail: Counted): void {
    this.#count(mail, -1);
  }

  #count(mail: Counted, sign: 1 | -1): void {
    for (const { key } of this.#accountsOf(mail)) {
      const { messages, bytes } = this.#amounts.get(key) ?? NOTHING;
      const now = { messages: messages + sign, bytes: bytes + sign * mail.bytes };
      if (now.messages > 0) this.#amounts.set(key, now);
      else this.#amounts.delete(key);
    }
  }

  /** The accounts that a message counts for. Total and receiver come first: they say that nobody else has room either. */
  #accountsOf({ to, sender, holder }: Counted): Account[] {
    const limits = this.#limits;
    const all = { messages: limits.messages, bytes: limits.bytes };
    const receiver = { messages: limits.perReceiver, bytes: limits.bytesPerReceiver };
    const whose = holder ?? sender;
    return [
      { key: TOTAL, most: all, refusal: 'too much mail waits in this domain already' },
      { key: `to ${to}`, most: receiver, refusal: `too much mail waits for ${to} already` },
      { key: `to ${to} from ${whose}`, most: part(receiver, limits.sharePerAddress), refusal: `too much mail of ${whose} waits for ${to} already`, isShare: true },
      { key: `from ${sender}`, most: { messages: limits.perSender, bytes: limits.bytesPerSender }, refusal: `too much mail of ${sender} waits already`, isShare: true },
      ...(holder === undefined ? [] : [{ key: `from ${holder}`, most: part(all, limits.sharePerAddress), refusal: `too much mail of ${holder} waits already`, isShare: true }]),
    ];
  }
}
