import { roughSize, type Message } from '../../protocol/index.js';

/** About what a message takes, in bytes: exact enough to bound what waits, cheap enough for every message. */
export const sizeOf = ({ body }: Message): number => 256 + (body?.value === undefined ? 0 : roughSize(body.value));
