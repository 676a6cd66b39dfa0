import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { checkUserName, type Acceptance, partsOf, ProtoflyError, shownUrl, systemClock } from '../../protocol/index.js';
import { withRuntime } from '../connect.js';
import { Client } from '../../client/client.js';
import type { RuntimeStatus } from '../../client/documents.js';
import type { Context } from '../context.js';
import { DEFAULT_DOMAIN, domainUrl } from '../../client/domain-url.js';
import { EXIT_OF } from '../exit-codes.js';
import { errorFromJson } from '../failure.js';
import { readSettings, writeSettings, type Settings } from '../settings.js';
import { readAuthorities } from '../authorities.js';
import { untilGone } from './alive.js';
import type { Joining, RuntimeDaemonOptions } from '../../client/daemon-options.js';
import { userKeysFolder } from '../../client/paths.js';
import { parseDeviceCode, parseInvite } from '../../security/invite.js';
import { preparePlaces } from './places.js';
import { spawnDaemon } from './spawn.js';

export interface StartInput {
  /** A name, `host:port` or URL. */
  readonly domain?: string | undefined;
  readonly user?: string | undefined;
  readonly p2p?: boolean | undefined;
  /** Id of a publisher key of the domain. */
  readonly trust?: string | undefined;
  /** Path of a file with certificate authorities. */
  readonly ca?: string | undefined;
  /** The text of an invitation. It says the domain, the user and the publisher key. */
  readonly invite?: string | undefined;
  /** The text of a device code. It says the same. */
  readonly device?: string | undefined;
  /** The user's name for this machine. */
  readonly machine?: string | undefined;
  readonly waitMs: number;
}

/** The input, completed by the invitation or the device code in it. */
interface Start extends StartInput {
  readonly joining: Joining;
}

/** @throws ProtoflyError `E_USAGE` */
const withJoining = (input: StartInput): Start => {
  const named = input.machine === undefined ? {} : { device: input.machine };
  if (input.invite !== undefined) {
    const { url, user, key, token } = parseInvite(input.invite);
    return { ...input, domain: url, user: partsOf(user).path, trust: key, joining: { invite: token, ...named } };
  }
  if (input.device !== undefined) {
    const { url, user, key, runtime, secret, userKey } = parseDeviceCode(input.device);
    return { ...input, domain: url, user: partsOf(user).path, ...(key === '' ? {} : { trust: key }), joining: { code: { runtime, secret, userKey }, ...named } };
  }
  return { ...input, joining: named };
};

/** @throws ProtoflyError `E_USAGE` if the system has no name for the user */
const loginName = (): string => {
  try {
    return userInfo().username;
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', 'no user name was given, and this system has no login name for you', { hint: 'say it: runtime start --user NAME', cause });
  }
};

/** @throws ProtoflyError `E_USAGE` for a TURN server without credentials */
const checkedServers = ({ iceServers = [], turnCredentials }: Settings): readonly string[] => {
  const turn = iceServers.find((url) => url.startsWith('turn:') && !url.includes('@'));
  if (turn === undefined || turnCredentials !== undefined) return iceServers;
  throw new ProtoflyError('E_USAGE', `the setting iceServers has ${turn}, and no credentials for it`, { hint: 'put username:password into a file: protofly config set turnCredentials FILE; or have the domain offer the server' });
};

const acceptanceOf = ({ accept = 'anyone', ...settings }: Settings): Acceptance => ({
  messages: settings['accept.messages'] ?? accept, p2p: settings['accept.p2p'] ?? accept, presence: settings['accept.presence'] ?? accept,
});

const optionsOf = (context: Context, input: StartInput, settings: Settings, log: string | undefined): RuntimeDaemonOptions => ({
  profile: context.flags.profile,
  paths: { state: context.places.state, socket: context.places.socket, ...(log === undefined ? {} : { log }) },
  domain: domainUrl(input.domain ?? settings.domain ?? DEFAULT_DOMAIN, settings.domains),
  domains: settings.domains,
  userKeys: userKeysFolder(context.env),
  user: checkUserName(input.user ?? settings.user ?? loginName()),
  p2p: input.p2p ?? settings.p2p ?? true,
  ...(input.trust === undefined ? {} : { trust: input.trust }),
  ...(settings.iceServers === undefined ? {} : { iceServers: checkedServers(settings) }),
  ...(settings.turnCredentials === undefined ? {} : { turnCredentials: settings.turnCredentials }),
  ...(settings.ice === undefined ? {} : { iceTransportPolicy: settings.ice }),
  ...(settings.window === undefined ? {} : { window: settings.window }),
  accept: acceptanceOf(settings),
  ...(settings.stubs === undefined && settings.capabilities === undefined ? {} : {
    stubs: {
      ...(settings.stubs === undefined ? {} : { allow: settings.stubs }),
      ...(settings.capabilities === undefined ? {} : { capabilities: settings.capabilities }),
    },
  }),
});

const refuseIfRunning = async (context: Context): Promise<void> => {
  const opened = await Client.connect(context.places.socket, { signal: context.signal }).catch((error: unknown) => {
    if (error instanceof ProtoflyError && error.code === 'E_NOT_RUNNING') return undefined;
    throw error;
  });
  if (opened === undefined) return;
  await opened.client.close();
  throw new ProtoflyError('E_CONFLICT', `the runtime of profile ${context.flags.profile} is already running`, { hint: 'see protofly runtime status; another one needs another --profile' });
};

const isUp = (status: RuntimeStatus): boolean => status.state === 'live';

/** Explains why the runtime isn't live in time. */
const notLive = (last: RuntimeStatus | undefined, waitMs: number): ProtoflyError => {
  const reason = last?.reason;
  if (last?.refusal !== undefined) return errorFromJson(last.refusal);
  if (last !== undefined && last.messageNode?.status !== 'live') {
    return new ProtoflyError('E_UNREACHABLE', `the domain isn't reachable${last.messageNode?.url === undefined ? '' : ` at ${shownUrl(last.messageNode.url)}`}${reason === undefined ? '' : `: ${reason}`}`, { hint: 'see protofly doctor' });
  }
  return new ProtoflyError('E_TIMEOUT', `the runtime isn't live after ${String(waitMs)} ms${reason === undefined ? '' : `: ${reason}`}`, { hint: 'give it longer with --wait' });
};

/**
 * Returns a refusal that waiting can't change: an untrusted stub or publisher. Ignores a faulty stub, because the
 * domain may replace it.
 */
const refusalOf = ({ refusal }: RuntimeStatus): ProtoflyError | undefined => {
  if (refusal === undefined) return undefined;
  const { code, message, hint } = errorFromJson(refusal);
  if ((EXIT_OF[code] !== EXIT_OF.E_REFUSED && code !== 'E_NAME_TAKEN') || code === 'E_DESCRIPTOR') return undefined;
  return new ProtoflyError(code, message, code === 'E_PUBLISHER' ? { hint: 'if the owner of the domain confirms the new key: protofly runtime start --trust KEY' } : hint === undefined ? {} : { hint });
};

/** Watches the status until the runtime is live. @throws ProtoflyError */
const untilLive = async (context: Context, waitMs: number): Promise<RuntimeStatus> =>
  withRuntime(context, { timeoutMs: Math.max(waitMs, 1) }, async (runtime) => {
    let last: RuntimeStatus | undefined;
    const live = runtime.watchStatus((status) => {
      last = status;
      const refusal = refusalOf(status);
      if (refusal !== undefined) throw refusal;
      return isUp(status);
    });
    await runtime.client.until(live, waitMs).catch((error: unknown) => {
      live.catch(() => undefined);
      throw error instanceof ProtoflyError && error.code === 'E_TIMEOUT' ? notLive(last, waitMs) : error;
    });
    return last!;
  });

/**
 * Starts the profile's runtime and announces it once it is live. In the background, it keeps running; in the
 * foreground, this function waits until it ends. If the start fails, the runtime is stopped. Saves the given options
 * for the next start. If the start fails, only options that had no saved value stay saved, so that a retry uses them
 * again.
 * @returns the exit code
 * @throws ProtoflyError `E_CONFLICT` if it is running already, `E_UNREACHABLE`, `E_TIMEOUT`
 */
export const startRuntime = async (context: Context, typed: StartInput, foreground: boolean, announce: (status: RuntimeStatus) => Promise<void>): Promise<number> => {
  const input = withJoining(typed);
  const until = systemClock.now() + input.waitMs;
  const settings = await readSettings(context.places);
  const options = optionsOf(context, input, settings, foreground ? undefined : context.places.log);
  const ca = input.ca === undefined ? settings.ca : resolve(input.ca);
  if (ca !== undefined) readAuthorities(ca);
  await preparePlaces(context.places);
  await refuseIfRunning(context);
  const told: Partial<Settings> = {
    ...(input.domain === undefined ? {} : { domain: input.domain }), ...(input.user === undefined ? {} : { user: input.user }), ...(input.p2p === undefined ? {} : { p2p: input.p2p }),
    ...(input.ca === undefined ? {} : { ca }),
  };
  await writeSettings(context.places, Object.fromEntries(Object.entries(told).filter(([key]) => settings[key as keyof Settings] === undefined)));
  const daemon = await spawnDaemon({ entry: 'runtime', options, ca, env: { PROTOFLY_JOIN: JSON.stringify(input.joining) }, timeoutMs: input.waitMs, signal: context.signal });
  const status = await daemon.orStop(untilLive(context, Math.max(1, until - systemClock.now())));
  await daemon.orStop(writeSettings(context.places, { domain: settings.domain ?? DEFAULT_DOMAIN, user: options.user, ...told }));
  return daemon.settle(context, foreground, () => announce(status));
};

/** Stops the runtime. Resolves when its process is gone. */
export const stopRuntime = (context: Context, timeoutMs: number): Promise<{ readonly runtime: string; readonly pid: number }> =>
  withRuntime(context, { timeoutMs }, async (runtime) => {
    const { pid } = await runtime.status();
    await runtime.stop();
    // The runtime waits until its programs have read their messages. This one has, so it closes now.
    await runtime.client.close();
    await untilGone(pid, timeoutMs, context.signal);
    return { runtime: runtime.session.runtime, pid };
  });

/** Waits until the runtime is live. @throws ProtoflyError `E_NOT_RUNNING`, `E_TIMEOUT`, `E_UNREACHABLE` */
export const waitForRuntime = (context: Context, waitMs: number): Promise<RuntimeStatus> => untilLive(context, waitMs);

/**
 * Calls `each` with the current status and after each change, until the runtime ends, the timeout, or an
 * interruption.
 */
export const watchRuntime = async (context: Context, timeoutMs: number | undefined, each: (status: RuntimeStatus) => Promise<void>): Promise<void> => {
  await withRuntime(context, {}, async (runtime) => {
    const watching = runtime.watchStatus(async (status) => {
      await each(status);
      return false;
    });
    await context.output.whileRead(runtime.client.until(watching, timeoutMs)).catch((error: unknown) => {
      watching.catch(() => undefined);
      if (!context.signal.aborted) throw error;
    });
  });
};
