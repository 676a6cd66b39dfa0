import { accessSync, constants, existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { asProtoflyError, child, noDomainAt, notDomainAt, objectionTo, ProtoflyError, subscriptionAddress, type Address } from '../../protocol/index.js';
import { fetchOf } from '../authorities.js';
import { connectRuntime } from '../connect.js';
import type { Runtime } from '../../client/runtime.js';
import { checkProfile, type Context } from '../context.js';
import { DEFAULT_DOMAIN, domainUrl } from '../../client/domain-url.js';
import { readSettings, type Settings } from '../settings.js';
import type { Check } from './check.js';
import { networkChecks, type NetworkFacts } from './network.js';
import { tryApart } from './task.js';

export interface Examination {
  /** True if no check failed. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

const OLDEST_NODE = [20, 17] as const;
/** Tolerated difference of two clocks, in milliseconds. The `Date` header has a resolution of one second. */
const SKEW_MS = 5000;
const DOMAIN_MS = 5000;

const failed = (check: string, thrown: unknown, next?: string): Check => {
  const { message, hint } = asProtoflyError(thrown);
  const advice = next ?? hint;
  return { check, verdict: 'fail', detail: message, ...(advice === undefined ? {} : { next: advice }) };
};

export const nodeCheck = (version: string): Check => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
  return { check: 'node', verdict: isOld ? 'fail' : 'ok', detail: version, ...(isOld ? { next: `install Node ${OLDEST_NODE.join('.')} or newer` } : {}) };
};

/** Returns the folder itself, or its nearest ancestor that exists. */
const nearest = (folder: string): string => {
  let at = folder;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
};

const foldersCheck = ({ places }: Context): Check => {
  try {
    for (const folder of [places.config, places.state]) accessSync(nearest(folder), constants.W_OK | constants.X_OK);
    return { check: 'folders', verdict: 'ok', detail: places.state };
  } catch (thrown) {
    return failed('folders', thrown, 'make it yours, or set PROTOFLY_HOME to another folder');
  }
};

const apart = async (check: string, detail: string, next: string, run: Promise<unknown>): Promise<Check> =>
  run.then(() => ({ check, verdict: 'ok' as const, detail }), (thrown: unknown) => failed(check, thrown, next));

interface Domain {
  readonly checks: readonly Check[];
  readonly iceServers: readonly string[];
}

/** Checks how far the local clock is ahead of the server's. */
export const skewCheck = (date: string | null, sentAt: number, receivedAt: number): Check => {
  const said = date === null ? NaN : Date.parse(date);
  if (Number.isNaN(said)) return { check: 'clock', verdict: 'skip', detail: 'the domain doesn\'t tell the time' };
  // The server truncates its time to seconds: add half a second, the mean error.
  const skew = (sentAt + receivedAt) / 2 - (said + 500);
  const seconds = Math.round(Math.abs(skew) / 1000);
  if (Math.abs(skew) < SKEW_MS) return { check: 'clock', verdict: 'ok', detail: 'as the domain\'s, to a few seconds' };
  return { check: 'clock', verdict: 'warn', detail: `${String(seconds)} s ${skew > 0 ? 'ahead of' : 'behind'} the domain's`, next: 'have the clock set by the network (NTP)' };
};

interface DomainAnswer {
  readonly info: { readonly domain?: unknown; readonly iceServers?: unknown };
  readonly date: string | null;
  readonly receivedAt: number;
}

/** @throws ProtoflyError `E_UNREACHABLE`, `E_DESCRIPTOR` */
const askDomain = async (url: string, settings: Settings, signal: AbortSignal): Promise<DomainAnswer> => {
  const ask = await fetchOf(settings);
  let response: Response;
  try {
    response = await ask(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(DOMAIN_MS)]), redirect: 'manual', headers: { accept: 'application/json' } });
  } catch (thrown) {
    throw noDomainAt(url, thrown);
  }
  const receivedAt = Date.now();
  const objection = objectionTo(response, url);
  if (objection !== undefined) throw objection;
  try {
    return { info: ((await response.json()) ?? {}) as DomainAnswer['info'], date: response.headers.get('date'), receivedAt };
  } catch (cause) {
    throw notDomainAt(url, 'its answer isn\'t JSON', cause);
  }
};

const domainChecks = async (settings: Settings, signal: AbortSignal): Promise<Domain> => {
  const sentAt = Date.now();
  try {
    const { url } = domainUrl(settings.domain ?? DEFAULT_DOMAIN, settings.domains);
    const { info, date, receivedAt } = await askDomain(`${url}/.well-known/protofly`, settings, signal);
    if (typeof info.domain !== 'string') throw notDomainAt(url, 'it doesn\'t say which domain it is');
    const iceServers = Array.isArray(info.iceServers) ? info.iceServers.filter((server): server is string => typeof server === 'string') : [];
    return { checks: [{ check: 'domain', verdict: 'ok', detail: `${info.domain} at ${url}, ${String(receivedAt - sentAt)} ms` }, skewCheck(date, sentAt, receivedAt)], iceServers };
  } catch (thrown) {
    signal.throwIfAborted();
    return { checks: [failed('domain', thrown), { check: 'clock', verdict: 'skip', detail: 'no domain to compare it with' }], iceServers: [] };
  }
};

/** Connects to the runtime; undefined if it isn't running. @throws ProtoflyError other than `E_NOT_RUNNING` */
const running = async (context: Context): Promise<Runtime | undefined> => {
  try {
    return await connectRuntime(context, { timeoutMs: 15_000 });
  } catch (thrown) {
    if (thrown instanceof ProtoflyError && thrown.code === 'E_NOT_RUNNING') return undefined;
    throw thrown;
  }
};

const runtimeChecks = async (runtime: Runtime | undefined, profile: string): Promise<Check[]> => {
  const start = `protofly ${profile === 'default' ? '' : `--profile ${profile} `}runtime start`;
  if (runtime === undefined) {
    return [{ check: 'runtime', verdict: 'warn', detail: 'not running', next: start }, { check: 'message node', verdict: 'skip', detail: 'the runtime is not running' }];
  }
  const { runtime: url, state, reason } = await runtime.status();
  const own: Check = state === 'live' ? { check: 'runtime', verdict: 'ok', detail: `${url} is live` } : { check: 'runtime', verdict: 'fail', detail: `${state}: ${reason ?? ''}`, next: 'see protofly runtime logs' };
  const started = performance.now();
  const answer = await runtime.client.request(subscriptionAddress(runtime.session.domain), 'ping', {}, { timeoutMs: DOMAIN_MS }).catch((thrown: unknown) => asProtoflyError(thrown));
  const isThere = !(answer instanceof ProtoflyError) && answer.body.code === 200;
  const words = answer instanceof ProtoflyError ? answer.message : `it answers ${String(answer.body.code)} ${typeof answer.body.description === 'string' ? answer.body.description : ''}`.trim();
  return [own, isThere
    ? { check: 'message node', verdict: 'ok', detail: `there and back in ${(performance.now() - started).toFixed(1)} ms` }
    : { check: 'message node', verdict: 'fail', detail: words, next: 'see protofly runtime status, and the log of the domain server' }];
};

const interfacesCheck = (): Check => {
  const outer = Object.entries(networkInterfaces()).flatMap(([name, found = []]) => found.filter(({ internal }) => !internal).map(({ address }) => `${name} ${address}`));
  return outer.length > 0 ? { check: 'interfaces', verdict: 'ok', detail: outer.join(', ') } : { check: 'interfaces', verdict: 'warn', detail: 'loopback alone', next: 'connect this machine to a network' };
};

/** Returns the runtime's view of the network. If the runtime isn't running, asks a process started for this check. */
const networkFacts = async (context: Context, runtime: Runtime | undefined, servers: readonly string[]): Promise<NetworkFacts> => {
  if (runtime !== undefined) {
    const response = await runtime.client.request(child(runtime.session.runtime, 'doctor') as Address, 'read', {});
    if (response.body.code === 200) return response.body.value as NetworkFacts;
  }
  // Credentials for TURN servers need a session with the domain, so only STUN servers are asked.
  return { ...((await tryApart({ what: 'network', servers: servers.filter((server) => server.startsWith('stun:')) }, context.signal)) as NetworkFacts), withoutTurn: true };
};

/**
 * Runs all checks of the installation and its surroundings.
 * @throws ProtoflyError `E_NOT_FOUND` for an unknown profile, the signal's reason
 */
export const examine = async (context: Context): Promise<Examination> => {
  checkProfile(context);
  const { signal, places, flags } = context;
  const settings = await readSettings(places);
  const runtime = await running(context);
  try {
    const folders = foldersCheck(context);
    const domain = domainChecks(settings, signal);
    const network = domain
      .then(({ iceServers }) => networkFacts(context, runtime, [...(settings.iceServers ?? []), ...iceServers]))
      .then((facts) => networkChecks(facts, settings.p2p ?? true), (thrown: unknown) => [failed('udp', thrown)]);
    const checks = await Promise.all([
      nodeCheck(process.versions.node),
      apart('webrtc', 'the library loads', 'install again: npm ci (no compiler is needed); messages go through message nodes meanwhile', tryApart({ what: 'webrtc' }, signal)),
      folders,
      folders.verdict === 'ok' ? apart('store', 'written and read', 'is the disk full, or a kind that can\'t be mapped into memory?', tryApart({ what: 'store', folder: nearest(places.state) }, signal)) : { check: 'store', verdict: 'skip' as const, detail: 'there is no folder for it' },
      runtimeChecks(runtime, flags.profile),
      domain.then((found) => found.checks),
      interfacesCheck(),
      network,
    ]);
    signal.throwIfAborted();
    const all = checks.flat();
    return { ok: all.every(({ verdict }) => verdict !== 'fail'), checks: all };
  } finally {
    await runtime?.client.close();
  }
};
