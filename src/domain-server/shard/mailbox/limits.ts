/** How much mail a domain keeps. What goes beyond is refused: 413 for one message, 507 for all. Sizes are in bytes. */
export interface MailLimits {
  /** One message. @default 4 MiB */
  readonly messageBytes: number;
  /** For one receiver. @default 1000 */
  readonly perReceiver: number;
  /** @default 16 MiB */
  readonly bytesPerReceiver: number;
  /** From the programs of one runtime. @default 5000 */
  readonly perSender: number;
  /** @default 64 MiB */
  readonly bytesPerSender: number;
  /** @default 100_000 */
  readonly messages: number;
  /** @default 1 GiB */
  readonly bytes: number;
  /** How long a message is kept at most, and where its sender doesn't say, in seconds. @default 7 days */
  readonly ttl: number;
  /** After a receiver had no room: how long until it is given its mail again, in milliseconds. @default 30_000 */
  readonly retryMs: number;
}

export const MAIL_LIMITS: MailLimits = {
  messageBytes: 4 * 1024 * 1024,
  perReceiver: 1000,
  bytesPerReceiver: 16 * 1024 * 1024,
  perSender: 5000,
  bytesPerSender: 64 * 1024 * 1024,
  messages: 100_000,
  bytes: 1024 * 1024 * 1024,
  ttl: 7 * 24 * 3600,
  retryMs: 30_000,
};
