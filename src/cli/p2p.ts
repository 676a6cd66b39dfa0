import { ProtoflyError, systemClock, type Address } from '../protocol/index.js';
import type { ConnectionChange, ConnectionInfo } from '../client/documents.js';
import { withRuntime } from './connect.js';
import type { Runtime } from '../client/runtime.js';
import { findAddress, findRemoteRuntime } from './target.js';
import type { Context } from './context.js';

/** Sets up the connection and waits until it is live. */
export const connectP2p = (context: Context, typed: string, timeoutMs: number): Promise<ConnectionInfo> =>
  withRuntime(context, { timeoutMs }, async (runtime) => {
    const address = await findAddress(context, runtime, typed);
    const connection = await runtime.p2p<ConnectionInfo>('connect', address, {
      timeoutMs,
      onProvisional: ({ body }) => { context.output.progress(`${typed}: ${(body.value as { status?: string } | undefined)?.status ?? 'in progress'} …`); },
    });
    context.output.clearProgress();
    return connection;
  });

export const disconnectP2p = (context: Context, typed: string, timeoutMs: number): Promise<ConnectionInfo> =>
  withRuntime(context, { timeoutMs }, async (runtime) => runtime.p2p('disconnect', await findAddress(context, runtime, typed)));

const RANK: readonly string[] = ['live', 'in-progress', 'created', 'disconnected', 'failed', 'ended'];

/** Returns the connections to a runtime, the one that carries messages first. */
const towards = (connections: readonly ConnectionInfo[], remote: Address): ConnectionInfo[] =>
  connections.filter(({ remoteRuntime }) => remoteRuntime === remote).sort((a, b) => RANK.indexOf(a.status) - RANK.indexOf(b.status));

const none = (typed: string): ProtoflyError =>
  new ProtoflyError('E_NOT_FOUND', `there is no P2P connection to ${typed}`, { hint: `set it up: protofly p2p connect ${typed}` });

/** @throws ProtoflyError `E_NOT_FOUND` when there is no connection */
export const p2pStatus = (context: Context, typed: string, timeoutMs: number): Promise<ConnectionInfo> =>
  withRuntime(context, { timeoutMs }, async (runtime) => {
    const [found] = towards(await runtime.connections(), await findRemoteRuntime(context, runtime, typed));
    if (found === undefined) throw none(typed);
    return found;
  });

/** Calls `each` with the current state and after each change, until it returns true or the user stops it. */
const follow = async (runtime: Runtime, remote: Address, each: (change: ConnectionChange | undefined) => boolean | Promise<boolean>): Promise<void> =>
  runtime.watchConnections(
    (connections) => {
      const [now] = towards(connections, remote);
      return each(now === undefined ? undefined : { connection: now, now: now.status, ...(now.reason === undefined ? {} : { reason: now.reason }) });
    },
    (change) => (change.connection.remoteRuntime === remote ? each(change) : false),
  );

/** Calls `print` with each change of state and its reason, until the user stops it or the time is up. */
export const watchP2p = (context: Context, typed: string, timeoutMs: number | undefined, print: (change: ConnectionChange) => Promise<void>): Promise<void> =>
  withRuntime(context, {}, async (runtime) => {
    const remote = await findRemoteRuntime(context, runtime, typed);
    const watching = follow(runtime, remote, async (change) => {
      if (change === undefined) context.output.note(`no P2P connection to ${typed} yet`);
      else await print(change);
      return false;
    });
    await context.output.whileRead(runtime.client.until(watching, timeoutMs)).catch((error: unknown) => {
      watching.catch(() => undefined);
      if (!context.signal.aborted) throw error;
    });
  });

/** Waits until the connection is live, or until none is. @throws ProtoflyError `E_TIMEOUT` */
export const waitForP2p = (context: Context, typed: string, until: 'live' | 'disconnected', timeoutMs: number): Promise<ConnectionInfo | undefined> =>
  withRuntime(context, { timeoutMs }, async (runtime) => {
    const remote = await findRemoteRuntime(context, runtime, typed);
    let last: ConnectionInfo | undefined;
    const waiting = follow(runtime, remote, (change) => {
      last = change === undefined ? undefined : { ...change.connection, status: change.now };
      const status = change?.now;
      return until === 'live' ? status === 'live' : status === undefined || ['disconnected', 'failed', 'ended'].includes(status);
    });
    await runtime.client.until(waiting, timeoutMs).catch((error: unknown) => {
      waiting.catch(() => undefined);
      if (!(error instanceof ProtoflyError) || error.code !== 'E_TIMEOUT') throw error;
      throw new ProtoflyError('E_TIMEOUT', `the connection to ${typed} isn't ${until} after ${String(timeoutMs)} ms: it is ${last?.status ?? 'not there'}`, { hint: `see protofly p2p status ${typed} --watch` });
    });
    return last;
  });

export interface Ping {
  readonly seq: number;
  readonly rtt_ms?: number;
  readonly path?: string;
  readonly error?: string;
}

export interface PingSummary {
  readonly sent: number;
  readonly received: number;
  readonly min_ms?: number;
  readonly avg_ms?: number;
  readonly max_ms?: number;
}

const rounded = (milliseconds: number): number => Math.round(milliseconds * 1000) / 1000;

const summaryOf = (sent: number, times: readonly number[]): PingSummary =>
  times.length === 0
    ? { sent, received: 0 }
    : { sent, received: times.length, min_ms: Math.min(...times), avg_ms: rounded(times.reduce((sum, time) => sum + time, 0) / times.length), max_ms: Math.max(...times) };

interface PingInit {
  readonly count: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** Pings one round trip after the other. @throws ProtoflyError the last error, if no ping was answered */
const pingAll = async (context: Context, runtime: Runtime, address: Address, { count, intervalMs }: PingInit, print: (ping: Ping) => Promise<void>): Promise<PingSummary> => {
  const { setTimeout: pause } = await import('node:timers/promises');
  const times: number[] = [];
  let lastError: ProtoflyError | undefined;
  let seq = 0;
  while (seq < count && !context.signal.aborted) {
    const startedAt = systemClock.now();
    seq += 1;
    try {
      const { rttMs, path } = await runtime.p2p<{ rttMs: number; path: string }>('ping', address);
      times.push(rounded(rttMs));
      await print({ seq, rtt_ms: rounded(rttMs), path });
    } catch (error) {
      if (context.signal.aborted) { seq -= 1; break; }
      if (!(error instanceof ProtoflyError) || error.code === 'E_LINK_CLOSED' || error.code === 'E_NOT_FOUND') throw error;
      lastError = error;
      await print({ seq, error: error.message });
    }
    const left = startedAt + intervalMs - systemClock.now();
    if (seq < count && left > 0) await pause(left, undefined, { signal: context.signal }).catch(() => undefined);
  }
  if (times.length === 0) throw lastError ?? (context.signal.reason as ProtoflyError);
  return summaryOf(seq, times);
};

/**
 * Pings the runtime that hosts an address. Ctrl-C ends it early, as does the end of the reader of stdout.
 * @throws ProtoflyError as `pingAll`
 */
export const pingP2p = (context: Context, typed: string, init: PingInit, print: (ping: Ping) => Promise<void>): Promise<PingSummary> =>
  withRuntime(context, { timeoutMs: init.timeoutMs }, async (runtime) => {
    const pinging = pingAll(context, runtime, await findAddress(context, runtime, typed), init, print);
    return context.output.whileRead(pinging).catch((error: unknown) => {
      pinging.catch(() => undefined);
      throw error;
    });
  });
