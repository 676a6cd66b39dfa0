import { isAddress, parseAddress, partsOf, ProtoflyError, runtimeOf, type Address, type RegistryRecord } from '../protocol/index.js';
import type { Context } from './context.js';
import { choose, needed } from './io/prompt.js';
import type { Runtime } from '../client/runtime.js';

const nameOf = (record: RegistryRecord): string =>
  `${record.user === undefined ? '' : partsOf(record.user).path}${record.name === undefined ? '' : `/${record.name}`}${record.user === undefined || record['verified'] === true ? '' : ' (unverified)'}`;

/**
 * Returns the only live record, else the only record. If there are several, asks the user.
 * @throws ProtoflyError `E_AMBIGUOUS`
 */
const pick = async (context: Context, typed: string, records: readonly RegistryRecord[]): Promise<RegistryRecord> => {
  const live = records.filter((record) => record.status === 'live');
  const candidates = live.length > 0 ? live : records;
  const [only] = candidates;
  if (only === undefined) throw new ProtoflyError('E_NOT_FOUND', `no hyperty is known as ${typed}`, { hint: 'list those that are registered: protofly hyperty discover' });
  if (candidates.length === 1) return only;
  if (context.interactive) {
    return choose(context, `Which ${typed}?`, candidates.map((record) => ({ name: `${nameOf(record)}  ${record.url}  ${record.status}`, value: record })));
  }
  const shown = candidates.slice(0, 10).map((record) => `${nameOf(record)} (${record.url})`).join(', ');
  throw new ProtoflyError('E_AMBIGUOUS', `${typed} can mean ${String(candidates.length)} addresses: ${shown}${candidates.length > 10 ? ', …' : ''}`, { hint: 'give the name too (user/name), or the address' });
};

/** Returns the registry record of a full address or a shorthand. */
export const findRecord = async (context: Context, runtime: Runtime, typed: string): Promise<RegistryRecord> =>
  isFull(typed) ? runtime.record(parseAddress(typed)) : pick(context, typed, await runtime.lookup(typed));

const isFull = (typed: string): boolean => typed.includes('://') || isAddress(typed);

/**
 * Returns the address for user input: a full address, `user`, `user/name` or `user/name@domain`.
 * @throws ProtoflyError `E_ADDRESS`, `E_NOT_FOUND`, `E_AMBIGUOUS`
 */
export const findAddress = async (context: Context, runtime: Runtime, typed: string): Promise<Address> =>
  isFull(typed) ? parseAddress(typed) : (await pick(context, typed, await runtime.lookup(typed))).url;

/**
 * Returns the addresses of one name on every connected machine of its user.
 * @throws ProtoflyError `E_ADDRESS`, `E_NOT_FOUND`, `E_AMBIGUOUS`; `E_USAGE` if the user hasn't proved that the name is his
 */
export const findAddresses = async (context: Context, runtime: Runtime, typed: string): Promise<readonly [Address, ...Address[]]> => {
  const { url, user, name, verified } = await findRecord(context, runtime, typed);
  if (user === undefined || name === undefined || verified !== true) throw new ProtoflyError('E_USAGE', `${typed} is no verified user's, so nobody can tell which machines are his`, { hint: 'send it without --all' });
  const machines = (await runtime.discover({ user, name })).filter((record) => record.user === user && record['verified'] === true && record.status === 'live');
  const others = machines.filter((record) => record.url !== url);
  return [url, ...others.map((record) => record.url)];
};

/** Returns the runtime that hosts the address for user input. */
export const findRemoteRuntime = async (context: Context, runtime: Runtime, typed: string): Promise<Address> => {
  const itself = isFull(typed) ? runtimeOf(parseAddress(typed)) : undefined;
  return itself ?? (await findRecord(context, runtime, typed)).runtime;
};

/** Searches a domain's registry. @throws ProtoflyError `E_NOT_FOUND` if nothing matches */
export const discover = async (runtime: Runtime, criteria: Readonly<Record<string, unknown>>): Promise<readonly RegistryRecord[]> => {
  const given = Object.fromEntries(Object.entries(criteria).filter(([, value]) => value !== undefined));
  const records = await runtime.discover(given);
  if (records.length > 0) return records;
  throw new ProtoflyError('E_NOT_FOUND', 'no registered hyperty matches', { hint: 'drop a criterion, or try another --domain' });
};

/** Returns the ADDRESS argument: the given one, else one that the user chooses from the registry. */
export const neededAddress = (context: Context, runtime: Runtime, given: string | undefined): Promise<string> =>
  needed(context, 'ADDRESS', given, async () => {
    // If the registry can't be listed, the user types the address.
    const records = await runtime.discover({}).catch(() => []);
    return records.map((record) => ({ name: `${nameOf(record)}  ${record.url}`, value: record.url }));
  });
