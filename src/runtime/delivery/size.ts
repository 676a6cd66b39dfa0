import type { Message } from '../../protocol/index.js';

/** About what a message takes, in bytes: exact enough to bound what waits, cheap enough for every message. */
export const sizeOf = (message: Message): number => {
  const value = message.body?.value;
  return 256 + (typeof value === 'string' ? value.length : value === undefined ? 0 : JSON.stringify(value).length);
};
