/**
 * The prelude of a realm: evaluated in the interpreter before the stub, it makes the web platform and the stub's
 * surroundings out of the host's calls. It is bundled into one module and imports nothing of Node.
 */
import { parseAddress, type Activate, type StubConfig, type StubInstance, type StubSandbox } from '../../../../protocol/index.js';
import { describeError } from '../../../contract/describe-error.js';
import { SyncClient } from '../../objects/client.js';
import type { Grants } from '../border.js';
import { crossed } from '../crossing.js';
import { createBus, onChannelClosed, onDrained, onMessage } from './bus.js';
import { console } from './console.js';
import { AbortController, AbortSignal, DOMException, Event, EventTarget } from './events.js';
import { fetch, Headers, onFetchEnd, onFetchFailed, onFetchHead, onFetchPiece, Response } from './fetch.js';
import { attempt, host } from './host.js';
import { onChannel, onChannelBytes, onConnection, onConnectionAnswer, onConnectionRefused, rtcGlobals } from './peer-connection.js';
import { onSocket, onSocketBytes, TcpSocket, WebSocket } from './sockets.js';
import { atob, btoa, TextDecoder, TextEncoder } from './text.js';
import { clock, onTimer, timerGlobals } from './timers.js';
import { URL, URLSearchParams } from './url.js';
import { onPeer, onPeerBytes, onPeerFailed, onPeerReady, webrtc } from './webrtc.js';

const crypto = Object.freeze({
  getRandomValues: <View extends Uint8Array>(view: View): View => {
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(new Uint8Array(host.random(view.byteLength)));
    return view;
  },
  randomUUID: (): string => {
    const bytes = new Uint8Array(host.random(16));
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  },
});

const place = (globals: Readonly<Record<string, unknown>>): void => {
  for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
};

place({
  ...timerGlobals, console, crypto, URL, URLSearchParams, TextEncoder, TextDecoder, atob, btoa, Event, EventTarget, AbortController, AbortSignal, DOMException,
  performance: Object.freeze({ now: () => host.now(), timeOrigin: Date.now() - host.now() }),
  queueMicrotask: (run: () => void) => { void Promise.resolve().then(() => { attempt(run); }); },
});

let grants: Grants | undefined;
let sandbox: Partial<StubSandbox> = {};
let instance: StubInstance | undefined;
let closeBus: () => Promise<void> = () => Promise.resolve();

const log: StubSandbox['log'] = (level, text) => { host.log(level, String(text).slice(0, 2000)); };

/** The parts of the sandbox object that were granted, also placed as globals. */
const granted = (capabilities: readonly string[]): Partial<StubSandbox> => {
  const has = (capability: string): boolean => capabilities.includes(capability);
  if (has('websocket')) place({ WebSocket });
  if (has('http')) place({ fetch, Headers, Response });
  if (has('webrtc')) place(rtcGlobals);
  return {
    ...(has('websocket') ? { WebSocket: WebSocket as unknown as NonNullable<StubSandbox['WebSocket']> } : {}),
    ...(has('http') ? { fetch: fetch as unknown as NonNullable<StubSandbox['fetch']> } : {}),
    ...(has('tcp') ? { TcpSocket } : {}),
    ...(has('webrtc') ? { webrtc } : {}),
  };
};

/** Activates the stub, when its module is ready. */
const activate = (module: { readonly default?: unknown }): void => {
  if (grants === undefined) return;
  if (typeof module.default !== 'function') {
    host.refused('the stub\'s module has no default export activate()');
    return;
  }
  try {
    const url = parseAddress(grants.url);
    const config = grants.config as StubConfig;
    const bus = createBus(url, log);
    closeBus = () => bus.close();
    const createSyncher = (): SyncClient => new SyncClient({ bus, clock }, { owner: url, runtime: config.runtimeURL, log });
    const result = (module.default as Activate)(url, bus.face(), config, { ...sandbox, createSyncher, clock, log });
    instance = result.instance;
    host.started(typeof result.name === 'string' ? result.name : '');
  } catch (thrown) {
    host.refused(`the stub's activate() failed: ${describeError(thrown)}`);
  }
};

const close = async (): Promise<void> => {
  try {
    await instance?.close?.();
  } catch (thrown) {
    host.fault(`closing failed: ${describeError(thrown)}`);
  }
  await closeBus();
  host.closed();
};

const EVENTS: Readonly<Record<string, (...args: never[]) => number | void>> = {
  start: (text: string) => {
    grants = JSON.parse(text) as Grants;
    sandbox = granted(grants.capabilities);
  },
  module: (module: { readonly default?: unknown } | Promise<{ readonly default?: unknown }>) => {
    if (module instanceof Promise) module.then(activate, (thrown: unknown) => { host.refused(`the stub's module can't be evaluated: ${describeError(thrown)}`); });
    else activate(module);
  },
  close: () => { void close(); },
  message: onMessage,
  drained: onDrained,
  'channel-closed': onChannelClosed,
  timer: onTimer,
  socket: onSocket,
  'socket-bytes': onSocketBytes,
  'fetch-head': onFetchHead,
  'fetch-piece': onFetchPiece,
  'fetch-end': onFetchEnd,
  'fetch-failed': onFetchFailed,
  'peer-ready': onPeerReady,
  'peer-failed': onPeerFailed,
  peer: onPeer,
  'peer-bytes': onPeerBytes,
  'connection-answer': onConnectionAnswer,
  'connection-refused': onConnectionRefused,
  connection: onConnection,
  channel: onChannel,
  'channel-bytes': onChannelBytes,
};

/** Takes an event from the code around the realm. */
export const tell = (event: string, ...args: readonly unknown[]): number =>
  EVENTS[event]?.(...args.map((arg) => (typeof arg === 'string' ? crossed(arg) : arg)) as never[]) ?? 0;
