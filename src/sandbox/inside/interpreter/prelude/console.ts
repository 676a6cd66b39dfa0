import { host } from './host.js';

const LONGEST = 2000;

/** Formats a logged value. */
const show = (thing: unknown): string => {
  if (typeof thing === 'string') return thing.slice(0, LONGEST);
  try {
    if (thing instanceof Error) return `${thing.name}: ${thing.message}`.slice(0, LONGEST);
    return (typeof thing === 'object' ? JSON.stringify(thing) : String(thing)).slice(0, LONGEST);
  } catch {
    return 'something that can\'t be shown';
  }
};

const at = (level: 'debug' | 'info' | 'warn') => (...things: readonly unknown[]): void => { host.log(level, things.map(show).join(' ').slice(0, LONGEST)); };

export const console = Object.freeze({ log: at('info'), info: at('info'), debug: at('debug'), trace: at('debug'), warn: at('warn'), error: at('warn') });
