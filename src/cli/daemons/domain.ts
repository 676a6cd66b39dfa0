import { resolve } from 'node:path';
import { checkIceUrl, ProtoflyError, publicUrlOf, shownUrl, type Address, type Body, type RequestType } from '../../protocol/index.js';
import { Client } from '../../client/client.js';
import type { DomainStatus } from '../../client/documents.js';
import type { Context } from '../context.js';
import { domainPlaces, knownDomainServers, type Environment } from '../../client/paths.js';
import { parseDuration } from '../io/duration.js';
import { untilGone } from './alive.js';
import type { DomainDaemonOptions, MessageNodeProtocol } from '../../client/daemon-options.js';
import { preparePlaces } from './places.js';
import { spawnDaemon } from './spawn.js';

export interface DomainStart {
  readonly name: string;
  /** `host:port`. Port 0 chooses a free port. */
  readonly listen: string;
  readonly publicUrl?: string | undefined;
  readonly allowOrigins: readonly string[];
  readonly allowUnauthenticated: boolean;
  /** @default 'open' on the loopback interface, else 'invite' */
  readonly admission?: 'open' | 'invite' | undefined;
  readonly allowVisitors: boolean;
  readonly waitMs: number;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly iceServers: readonly string[];
  readonly turnSecretFile?: string | undefined;
  /** Protocol names, separated by commas. All if undefined. */
  readonly protocols?: string | undefined;
}

/** The result of `rotateKey`. */
export interface RotatedKey {
  readonly domain: string;
  readonly keyId: string;
  readonly previousKeyId: string;
  /** Time until which the previous key stays valid, in ISO 8601. */
  readonly previousUntil: string;
}

export interface RunningDomain {
  readonly status: DomainStatus;
  readonly socket: string;
  readonly log?: string;
}

const DOMAIN_NAME = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/;

/** @throws ProtoflyError `E_USAGE` */
export const checkDomainName = (name: string): string => {
  const canonical = name.toLowerCase();
  if (DOMAIN_NAME.test(canonical)) return canonical;
  throw new ProtoflyError('E_USAGE', `not a domain name: ${JSON.stringify(shownUrl(name).slice(0, 80))}`, { hint: 'it looks like example.com or localhost' });
};

/** @throws ProtoflyError `E_USAGE` */
export const parseListen = (text: string): DomainDaemonOptions['listen'] => {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? NaN);
  if (match !== null && port <= 65_535) return { host: match[1] ?? match[2]!, port };
  throw new ProtoflyError('E_USAGE', `not an address to listen on: ${JSON.stringify(text.slice(0, 80))}`, { hint: 'it looks like 127.0.0.1:9090 or [::1]:9090' });
};

/** The type makes the compiler check that all protocols of the message node are listed. */
const PROTOCOLS: Readonly<Record<MessageNodeProtocol, true>> = { websocket: true, rest: true };

/** @throws ProtoflyError `E_USAGE` for an unknown, repeated or missing protocol */
export const parseProtocols = (text: string): readonly MessageNodeProtocol[] => {
  const hint = `there are ${Object.keys(PROTOCOLS).join(' and ')}, separated by commas`;
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !Object.hasOwn(PROTOCOLS, name));
  if (unknown !== undefined) throw new ProtoflyError('E_USAGE', unknown === '' ? 'a protocol is missing' : `no message node speaks ${JSON.stringify(unknown.slice(0, 80))}`, { hint });
  if (new Set(names).size < names.length) throw new ProtoflyError('E_USAGE', `a protocol is listed twice: ${names.join(', ')}`, { hint });
  return names as MessageNodeProtocol[];
};

/** Checks the ICE options before anything is started. @throws ProtoflyError `E_USAGE` */
const checkIceServers = ({ iceServers, turnSecretFile }: DomainStart, env: Environment): void => {
  const turn = iceServers.find((url) => checkIceUrl(url).kind === 'turn');
  if (turn !== undefined && turnSecretFile === undefined && (env['PROTOFLY_TURN_SECRET'] ?? '') === '') {
    throw new ProtoflyError('E_USAGE', `${turn} needs the secret that its server checks credentials with`, { hint: 'give --turn-secret-file F, or PROTOFLY_TURN_SECRET; coturn: use-auth-secret' });
  }
  if (turn === undefined && turnSecretFile !== undefined) throw new ProtoflyError('E_USAGE', '--turn-secret-file is for TURN servers, and there is none', { hint: 'name it: --ice-server turn:turn.example.com:3478' });
};

/** Parses a duration; also accepts days: `30d`. @returns milliseconds @throws ProtoflyError `E_USAGE` */
export const parseDays = (text: string): number => {
  const days = /^(\d{1,4})d$/.exec(text.trim())?.[1];
  return days === undefined ? parseDuration(text) : Number(days) * 24 * 3_600_000;
};

const adminOf = (domain: string): Address => `domain://msg-node.${domain}/admin` as Address;

const connect = async (context: Context, name: string, timeoutMs?: number): Promise<{ client: Client; admin: Address }> => {
  const { client, session } = await Client.connect(domainPlaces(name, context.env).socket, {
    name: `the domain server of ${name}`,
    hint: `start it: protofly domain start --name ${name} --detach`,
    signal: context.signal,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  return { client, admin: adminOf(session.domain) };
};

const read = async (client: Client, admin: Address): Promise<DomainStatus> => (await client.ask(admin, 'read', { resource: 'status' })).body.value as DomainStatus;

/** True if a domain server of that name is running on this machine. */
const isRunning = async (context: Context, name: string): Promise<boolean> => {
  try {
    await (await connect(context, name)).client.close();
    return true;
  } catch (error) {
    if (error instanceof ProtoflyError && error.code === 'E_NOT_RUNNING') return false;
    throw error;
  }
};

/** Returns the named domain server, else the only running one. @throws ProtoflyError `E_NOT_RUNNING`, `E_AMBIGUOUS` */
const chosen = async (context: Context, name: string | undefined): Promise<string> => {
  if (name !== undefined) return checkDomainName(name);
  const known = knownDomainServers(context.env);
  const answers = await Promise.all(known.map((candidate) => isRunning(context, candidate)));
  const running = known.filter((_, index) => answers[index]);
  if (running.length === 1) return running[0]!;
  if (running.length === 0) throw new ProtoflyError('E_NOT_RUNNING', 'no domain server is running', { hint: 'start one: protofly domain start --detach' });
  throw new ProtoflyError('E_AMBIGUOUS', `several domain servers are running: ${running.join(', ')}`, { hint: 'say which with --name' });
};

/**
 * Starts a domain server and announces it once it answers on its socket. If detached, it keeps running; otherwise
 * this function waits until it ends. If the start or the announcement fails, the server is stopped.
 * @returns the exit code
 * @throws ProtoflyError `E_CONFLICT` if it is running already or its port is taken, `E_TIMEOUT`
 */
export const startDomain = async (context: Context, input: DomainStart, detach: boolean, announce: (running: RunningDomain) => Promise<void>): Promise<number> => {
  const name = checkDomainName(input.name);
  const listen = parseListen(input.listen);
  if ((input.tlsCert === undefined) !== (input.tlsKey === undefined)) throw new ProtoflyError('E_USAGE', '--tls-cert and --tls-key belong together');
  const protocols = input.protocols === undefined ? undefined : parseProtocols(input.protocols);
  checkIceServers(input, context.env);
  const places = domainPlaces(name, context.env);
  if (await isRunning(context, name)) throw new ProtoflyError('E_CONFLICT', `the domain server of ${name} is already running`, { hint: 'see protofly domain status' });
  await preparePlaces(places);
  const options: DomainDaemonOptions = {
    name, listen,
    ...(input.publicUrl === undefined ? {} : { publicUrl: publicUrlOf(input.publicUrl) }),
    ...(input.tlsCert === undefined || input.tlsKey === undefined ? {} : { tls: { cert: resolve(input.tlsCert), key: resolve(input.tlsKey) } }),
    ...(input.allowOrigins.length === 0 ? {} : { allowOrigins: input.allowOrigins }),
    ...(input.allowUnauthenticated ? { allowUnauthenticated: true } : {}),
    ...(input.admission === undefined ? {} : { admission: input.admission }),
    ...(input.allowVisitors ? { allowVisitors: true } : {}),
    ...(input.iceServers.length === 0 ? {} : { iceServers: input.iceServers }),
    ...(input.turnSecretFile === undefined ? {} : { turnSecretFile: resolve(input.turnSecretFile) }),
    ...(protocols === undefined ? {} : { protocols }),
    paths: { state: places.state, socket: places.socket, ...(detach ? { log: places.log } : {}) },
  };
  const daemon = await spawnDaemon({ entry: 'domain-server', options, timeoutMs: input.waitMs, signal: context.signal });
  const status = await daemon.orStop(domainStatus(context, name));
  return daemon.settle(context, !detach, () => announce({ status, socket: places.socket, ...(detach ? { log: places.log } : {}) }));
};

/** @throws ProtoflyError `E_NOT_RUNNING`, `E_AMBIGUOUS` */
export const domainStatus = async (context: Context, name: string | undefined): Promise<DomainStatus & { readonly socket: string }> => {
  const which = await chosen(context, name);
  const { client, admin } = await connect(context, which);
  try {
    return { ...(await read(client, admin)), socket: domainPlaces(which, context.env).socket };
  } finally {
    await client.close();
  }
};

/**
 * Sends a request to the named domain server, or the only running one, and returns the value of its response.
 * @throws ProtoflyError for the response's code, and as `domainStatus`
 */
export const askDomain = async (context: Context, name: string | undefined, type: RequestType, body: Body, timeoutMs: number): Promise<unknown> => {
  const { client, admin } = await connect(context, await chosen(context, name), timeoutMs);
  try {
    return (await client.ask(admin, type, body)).body.value;
  } finally {
    await client.close();
  }
};

/** Replaces the publisher key by a new one. @param overlap how long the previous key stays valid */
export const rotateKey = async (context: Context, name: string | undefined, overlap: string, timeoutMs: number): Promise<RotatedKey> =>
  (await askDomain(context, name, 'execute', { resource: 'rotate-key', value: { overlapMs: parseDays(overlap) } }, timeoutMs)) as RotatedKey;

/** Stops a domain server. Resolves when its process is gone. */
export const stopDomain = async (context: Context, name: string | undefined, timeoutMs: number): Promise<DomainStatus> => {
  const { client, admin } = await connect(context, await chosen(context, name), timeoutMs);
  try {
    const status = await read(client, admin);
    await client.ask(admin, 'execute', { resource: 'stop' });
    // The server waits until its programs have read their messages. This one has, so it closes now.
    await client.close();
    await untilGone(status.pid, timeoutMs, context.signal);
    return status;
  } finally {
    await client.close();
  }
};
