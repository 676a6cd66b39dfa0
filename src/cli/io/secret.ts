import { text } from 'node:stream/consumers';
import type { Context } from '../context.js';

/** Returns the value of a flag that may be a secret: `-` reads it from stdin, where no other user of the machine sees it. */
export const secretFrom = async (context: Context, given: string | undefined): Promise<string | undefined> =>
  (given === '-' ? (await text(context.stdin())).trim() : given);
