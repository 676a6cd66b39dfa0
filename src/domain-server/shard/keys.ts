import { createHash } from 'node:crypto';

/** Returns a short digest of a text: 22 characters without separators. */
export const digest = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 22);

/** Returns a store key for a text of any length. Short texts stay readable. */
export const keyOf = (text: string): string => (text.length <= 200 ? text : `${text.slice(0, 100)}#${digest(text)}`);

/** Returns a time as text that sorts in order. */
export const timeKey = (milliseconds: number): string => String(Math.max(0, Math.floor(milliseconds))).padStart(16, '0');
