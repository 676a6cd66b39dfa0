import { getRandomValues } from 'node:crypto';
import { ProtoflyError } from '../../../../protocol/index.js';
import type { StubContext } from '../../../contract/stub.js';
import { hostCall, type HostCallTable } from '../host-call.js';

const MAX_RANDOM = 65_536;
const URL_PARTS = ['href', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash', 'origin'] as const;

const partsOf = (url: URL): string => JSON.stringify(Object.fromEntries(URL_PARTS.map((part) => [part, url[part]])));

export interface LanguageInit {
  readonly context: StubContext;
  readonly onStarted: (name: string) => void;
  readonly onRefused: (why: string) => void;
  readonly onClosed: () => void;
}

/** Host calls that every stub has and that open nothing: its beginning and end, its log, and pure functions. */
export const languageCalls = ({ context: { log }, onStarted, onRefused, onClosed }: LanguageInit): HostCallTable => ({
  started: hostCall(['text'], onStarted),
  refused: hostCall(['text'], onRefused),
  closed: hostCall([], onClosed),
  log: hostCall(['text', 'text'], (level, text) => { log(level === 'debug' || level === 'warn' ? level : 'info', text); }),
  fault: hostCall(['text'], (text) => { log('warn', text); }),
  random: hostCall(['number'], (count) => {
    if (!Number.isInteger(count) || count < 0 || count > MAX_RANDOM) throw new ProtoflyError('E_USAGE', `at most ${String(MAX_RANDOM)} random bytes at once`);
    return getRandomValues(new Uint8Array(count));
  }),
  parseUrl: hostCall(['text', 'text'], (text, base) => (URL.canParse(text, base === '' ? undefined : base) ? partsOf(new URL(text, base === '' ? undefined : base)) : '')),
  changeUrl: hostCall(['text', 'text', 'text'], (href, part, value) => {
    const name = URL_PARTS.find((known) => known === part && known !== 'origin');
    if (name === undefined || name === 'origin' || !URL.canParse(href)) return '';
    const url = new URL(href);
    url[name] = value;
    return partsOf(url);
  }),
  encode: hostCall(['text'], (text) => new TextEncoder().encode(text)),
  decode: hostCall(['bytes', 'text', 'number', 'number'], (bytes, label, isFatal, keepsMark) => {
    try {
      return new TextDecoder(label, { fatal: isFatal !== 0, ignoreBOM: keepsMark !== 0 }).decode(bytes);
    } catch (cause) {
      throw new ProtoflyError('E_USAGE', 'the bytes are no text of that encoding', { cause });
    }
  }),
  toBase64: hostCall(['bytes'], (bytes) => Buffer.from(bytes).toString('base64')),
  fromBase64: hostCall(['text'], (text) => new Uint8Array(Buffer.from(text, 'base64'))),
});
