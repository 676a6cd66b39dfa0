import { SHARE_PER_ADDRESS } from '../share.js';

/**
 * The limits of a domain's mail. Beyond them mail is refused: with 413 for a single message, otherwise with 507.
 * Sizes are in bytes.
 */
export interface MailLimits {
  /** Maximum size of one message. @default 4 MiB */
  readonly messageBytes: number;
  /** Maximum number of messages for one receiver. @default 4000 */
  readonly perReceiver: number;
  /** @default 64 MiB */
  readonly bytesPerReceiver: number;
  /** Maximum number of messages from the programs of one runtime. @default 5000 */
  readonly perSender: number;
  /** @default 64 MiB */
  readonly bytesPerSender: number;
  /** @default 100_000 */
  readonly messages: number;
  /** @default 1 GiB */
  readonly bytes: number;
  /**
   * The part that one remote address may have of all mail, from 0 to 1. Of the mail for one receiver, it is the part of
   * one remote address, or of one runtime on the node's own machine.
   * @default SHARE_PER_ADDRESS
   */
  readonly sharePerAddress: number;
  /** Maximum and default lifetime of a message, in seconds. @default 7 days */
  readonly ttl: number;
  /** Time after which mail is offered again to a receiver that had no room, in milliseconds. @default 30_000 */
  readonly retryMs: number;
}

export const MAIL_LIMITS: MailLimits = {
  messageBytes: 4 * 1024 * 1024,
  perReceiver: 4000,
  bytesPerReceiver: 64 * 1024 * 1024,
  perSender: 5000,
  bytesPerSender: 64 * 1024 * 1024,
  messages: 100_000,
  bytes: 1024 * 1024 * 1024,
  sharePerAddress: SHARE_PER_ADDRESS,
  ttl: 7 * 24 * 3600,
  retryMs: 30_000,
};
