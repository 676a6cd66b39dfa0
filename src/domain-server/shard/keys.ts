import { createHash } from 'node:crypto';

/** A short stand-in for text of any length: 22 characters without separators. */
export const digest = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 22);

/** A store key for text of any length; short text stays readable. */
export const keyOf = (text: string): string => (text.length <= 200 ? text : `${text.slice(0, 100)}#${digest(text)}`);

/** A time as it sorts. */
export const timeKey = (milliseconds: number): string => String(Math.max(0, Math.floor(milliseconds))).padStart(16, '0');
