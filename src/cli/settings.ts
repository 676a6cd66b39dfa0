import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { asReportable } from '../kit/os-errors.js';
import { ALLOWANCES, AUDIENCES, CAPABILITIES, checkIceUrl, ICE_POLICIES, ProtoflyError, type Allowance, type Audience, type Capability, type IceTransportPolicy } from '../protocol/index.js';
import { ensurePrivateFolder } from '../security/private-files.js';
import { domainUrl } from '../client/domain-url.js';
import { parseSize } from './io/size.js';
import type { Places } from '../client/paths.js';

/**
 * The settings of one profile. They hold the user's choices, never state. Several processes may write the file; the
 * last one wins.
 */
export interface Settings {
  /** The domain of the last `runtime start`: a name, `host:port` or URL. */
  readonly domain?: string;
  readonly user?: string;
  /** @default true */
  readonly p2p?: boolean;
  readonly iceServers?: readonly string[];
  /** Path of a file with `username:password` for the TURN servers in `iceServers`. */
  readonly turnCredentials?: string;
  /** Path of a file with certificate authorities, in PEM, that are trusted besides Node's own. */
  readonly ca?: string;
  /** @default 'all' */
  readonly ice?: IceTransportPolicy;
  /** The origins whose protostubs are deployed. @default 'any' */
  readonly stubs?: Allowance;
  /** The capabilities that protostubs may be granted. @default all */
  readonly capabilities?: readonly Capability[];
  /** The window of one sender to one receiver, in bytes. @default 1 MiB */
  readonly window?: number;
  /** The people whose messages, direct connections and pings are taken. @default 'anyone' */
  readonly accept?: Audience;
  /** @default that of `accept` */
  readonly 'accept.messages'?: Audience;
  /** @default that of `accept` */
  readonly 'accept.p2p'?: Audience;
  /** @default that of `accept` */
  readonly 'accept.presence'?: Audience;
  /** Base URLs of domains, by name. */
  readonly domains: Readonly<Record<string, string>>;
}

type Stored = Record<string, unknown>;

export interface Key {
  readonly name: keyof Settings;
  readonly what: string;
  /** @throws ProtoflyError `E_USAGE` */
  read(text: string): unknown;
}

const text = (value: string): string => {
  if (value.trim() !== '') return value.trim();
  throw new ProtoflyError('E_USAGE', 'the value is empty');
};

const domain = (value: string): string => {
  const typed = text(value);
  domainUrl(typed, {});
  return typed;
};

const truth = (value: string): boolean => {
  if (value === 'true' || value === 'false') return value === 'true';
  throw new ProtoflyError('E_USAGE', `not true or false: ${JSON.stringify(value)}`);
};

const isOneOf = <T extends string>(known: readonly T[], value: unknown): value is T => known.some((one) => one === value);

const oneOf = <T extends string>(known: readonly T[], value: string): T => {
  if (isOneOf(known, value)) return value;
  throw new ProtoflyError('E_USAGE', `not one of ${known.join(', ')}: ${JSON.stringify(value)}`);
};

const audience = (value: string): Audience => oneOf(AUDIENCES, value.trim());

const list = (value: string): string[] => value.split(',').map((item) => item.trim()).filter((item) => item !== '');

const iceServers = (value: string): string[] => {
  const urls = list(value);
  for (const url of urls) checkIceUrl(url);
  return urls;
};

/** Lower bound of the window: room for a few messages. The upper bound is what a runtime can hold for many senders. */
const MIN_WINDOW = 64 * 1024;
const MAX_WINDOW = 64 * 1024 ** 2;

const isWindow = (value: unknown): value is number => typeof value === 'number' && value >= MIN_WINDOW && value <= MAX_WINDOW;

const window = (value: string): number => {
  const bytes = parseSize(value);
  if (isWindow(bytes)) return bytes;
  throw new ProtoflyError('E_USAGE', `not from 64KiB to 64MiB: ${JSON.stringify(value)}`);
};

/** The keys that `config get` and `config set` know. */
export const KEYS: readonly Key[] = [
  { name: 'domain', what: 'the domain that `runtime start` joins: a name, host:port or URL', read: domain },
  { name: 'user', what: 'the user whose runtime this is', read: text },
  { name: 'p2p', what: 'whether direct connections are set up (true or false)', read: truth },
  { name: 'iceServers', what: 'STUN and TURN servers besides those of the domain, separated by commas', read: iceServers },
  { name: 'turnCredentials', what: 'file with username:password for the TURN servers in iceServers', read: (value) => resolve(text(value)) },
  { name: 'ca', what: 'file with certificate authorities (PEM) that are trusted besides the usual ones', read: (value) => resolve(text(value)) },
  { name: 'ice', what: 'how direct connections may go: all, or relay (through TURN servers alone)', read: (value) => oneOf(ICE_POLICIES, value.trim()) },
  { name: 'stubs', what: 'whose protostubs are deployed: any, trusted or built-in', read: (value) => oneOf(ALLOWANCES, value.trim()) },
  { name: 'capabilities', what: `what protostubs may be granted, separated by commas: ${CAPABILITIES.join(', ')}`, read: (value) => [...new Set(list(text(value)).map((item) => oneOf(CAPABILITIES, item)))] },
  { name: 'accept', what: 'who may reach this runtime: contacts, domain (the users of its domain) or anyone', read: audience },
  { name: 'accept.messages', what: 'whose messages are taken, if not those of accept', read: audience },
  { name: 'accept.p2p', what: 'whose direct connections are taken, which show IP addresses', read: audience },
  { name: 'accept.presence', what: 'whose pings are answered', read: audience },
  { name: 'window', what: 'how much one sender may have under way to one receiver without a receipt: from 64KiB to 64MiB (1MiB)', read: window },
];

/** @throws ProtoflyError `E_USAGE` */
export const keyNamed = (name: string): Key => {
  const key = KEYS.find((known) => known.name === name);
  if (key !== undefined) return key;
  throw new ProtoflyError('E_USAGE', `there is no setting ${JSON.stringify(name)}`, { hint: `there are ${KEYS.map((known) => known.name).join(', ')}, and \`protofly domain add\` for domains` });
};

export const settingsPath = (places: Places): string => join(places.config, 'settings.json');

/** Returns the error for a settings file that can't be used. */
const trouble = (places: Places, cause: unknown): ProtoflyError => {
  const why = `${settingsPath(places)}: ${cause instanceof Error ? cause.message : String(cause)}`;
  if (cause instanceof SyntaxError) return new ProtoflyError('E_USAGE', `the settings can't be read: ${why}`, { hint: 'correct the file, or remove it', cause });
  return new ProtoflyError('E_PLATFORM', `the settings can't be used: ${why}`, { hint: asReportable(cause).hint ?? 'is PROTOFLY_HOME a folder that you may write to?', cause });
};

const listenersOfSignals = (): [string, () => void][] =>
  process.eventNames().flatMap((name) => (typeof name === 'string' && name.startsWith('SIG') ? process.listeners(name as NodeJS.Signals).map((listener): [string, () => void] => [name, listener as () => void]) : []));

/**
 * Loads the library that writes settings and removes its signal listeners. They would send each signal to this
 * process again, and that would count as a second Ctrl-C.
 */
const loadConf = async () => {
  const before = new Set(listenersOfSignals().map(([, listener]) => listener));
  const { default: Conf } = await import('conf');
  for (const [name, listener] of listenersOfSignals()) if (!before.has(listener)) process.off(name, listener);
  return Conf;
};

const isRecord = (value: unknown): value is Stored => typeof value === 'object' && value !== null && !Array.isArray(value);
const strings = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');

const ACCEPT_KEYS = ['accept', 'accept.messages', 'accept.p2p', 'accept.presence'] as const;

/** Returns the settings. A value of the wrong type counts as not set. */
const settingsOf = (stored: Stored): Settings => {
  const { domain, user, p2p, iceServers, turnCredentials, ca, ice, stubs, capabilities, window, domains } = stored;
  return {
    ...(typeof domain === 'string' ? { domain } : {}),
    ...(typeof user === 'string' ? { user } : {}),
    ...(typeof p2p === 'boolean' ? { p2p } : {}),
    ...(strings(iceServers) ? { iceServers } : {}),
    ...(typeof turnCredentials === 'string' ? { turnCredentials } : {}),
    ...(typeof ca === 'string' ? { ca } : {}),
    ...(isOneOf(ICE_POLICIES, ice) ? { ice } : {}),
    ...(isOneOf(ALLOWANCES, stubs) ? { stubs } : {}),
    ...(strings(capabilities) ? { capabilities: capabilities.filter((capability) => isOneOf(CAPABILITIES, capability)) } : {}),
    ...(isWindow(window) ? { window } : {}),
    ...Object.fromEntries(ACCEPT_KEYS.filter((key) => isOneOf(AUDIENCES, stored[key])).map((key) => [key, stored[key]])),
    domains: isRecord(domains) ? Object.fromEntries(Object.entries(domains).filter((entry): entry is [string, string] => typeof entry[1] === 'string')) : {},
  };
};

/** Reads the file; empty if there is none. @throws errors of the file system and the parser */
const readStored = (places: Places): Stored => {
  let text: string;
  try {
    text = readFileSync(settingsPath(places), 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw cause;
  }
  const stored: unknown = JSON.parse(text);
  if (isRecord(stored)) return stored;
  throw new SyntaxError('it holds no object');
};

/**
 * Reads the settings without writing anything, not even a folder.
 * @throws ProtoflyError `E_USAGE` if the file is broken, `E_PLATFORM` if it can't be read
 */
export const readSettings = async (places: Places): Promise<Settings> => {
  try {
    return settingsOf(readStored(places));
  } catch (cause) {
    throw trouble(places, cause);
  }
};

/** Sets the given keys and keeps the others. Writes nothing if no value changes. @throws as `readSettings` */
export const writeSettings = async (places: Places, values: Partial<Settings>): Promise<void> => {
  try {
    const stored = readStored(places);
    const changed = Object.entries(values).filter(([key, value]) => value !== undefined && !isDeepStrictEqual(stored[key], value));
    if (changed.length === 0) return;
    ensurePrivateFolder(places.config);
    const Conf = await loadConf();
    new Conf<Stored>({ projectName: 'protofly', cwd: places.config, configName: 'settings', configFileMode: 0o600, accessPropertiesByDotNotation: false }).set(Object.fromEntries(changed));
  } catch (cause) {
    throw trouble(places, cause);
  }
};
