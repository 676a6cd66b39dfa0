import { isAddress, parseAddress, partsOf, ProtoflyError, userAddress, type Address } from '../protocol/index.js';
import type { ContactInfo, KnockInfo } from '../client/documents.js';
import { askUser } from './identity.js';
import { withRuntime } from './connect.js';
import type { Context } from './context.js';
import type { Column } from './io/table.js';

/** A decision of the user about a contact. */
export type Decision = 'accept' | 'block' | 'remove' | 'verify';

/** A line of `contact list`: somebody who was met, or who has knocked. */
export interface ContactRow {
  readonly who: string;
  readonly state: ContactInfo['state'] | 'knocks';
  readonly key?: string | undefined;
  readonly verified?: string | undefined;
  readonly since: string;
  readonly note?: string | undefined;
}

interface Known {
  readonly contacts: readonly ContactInfo[];
  readonly knocks: readonly KnockInfo[];
}

/** Returns the user for user input: `bob`, `bob@example.com` or `user://example.com/bob`. @throws ProtoflyError `E_USAGE` */
const userIn = (typed: string, ownDomain: string): Address => {
  if (isAddress(typed)) {
    const address = parseAddress(typed);
    if (partsOf(address).scheme === 'user') return address;
    throw new ProtoflyError('E_USAGE', `${typed} is not a user`, { hint: 'write bob, bob@example.com or user://example.com/bob' });
  }
  const [, name = '', domain = ownDomain] = /^([^@]+)(?:@(.+))?$/.exec(typed) ?? [];
  return userAddress(domain, name);
};

/** Lists the users whom the profile's runtime has met, and those who have knocked. @throws ProtoflyError `E_NOT_RUNNING` */
export const listContacts = (context: Context, timeoutMs: number): Promise<Known> =>
  withRuntime(context, { timeoutMs }, async (runtime) => (await askUser(runtime, 'read', '/contacts', {}, timeoutMs)) as Known);

/** Does with a contact what the user has decided. @throws ProtoflyError `E_NOT_RUNNING`, `E_USAGE`, `E_NOT_FOUND`, `E_USER_KEY` */
export const decideContact = (context: Context, decision: Decision, typed: string, options: { readonly newKey?: string | undefined; readonly timeoutMs: number }): Promise<ContactInfo> =>
  withRuntime(context, { timeoutMs: options.timeoutMs }, async (runtime) =>
    (await askUser(runtime, 'update', '/contacts', { user: userIn(typed, runtime.session.domain), decision, ...(options.newKey === undefined ? {} : { newKey: options.newKey }) }, options.timeoutMs)) as ContactInfo);

/** Returns the number by which two users compare their keys. @throws ProtoflyError `E_NOT_RUNNING`, `E_NOT_FOUND` */
export const safetyNumber = (context: Context, typed: string, timeoutMs: number): Promise<{ readonly user: Address; readonly number: string }> =>
  withRuntime(context, { timeoutMs }, async (runtime) => {
    const user = userIn(typed, runtime.session.domain);
    const { number } = (await askUser(runtime, 'read', '/safety-number', { user }, timeoutMs)) as { number: string };
    return { user, number };
  });

export const contactRows = ({ contacts, knocks }: Known): readonly ContactRow[] => [
  ...contacts.map(({ user, state, key, verified, since, otherKey }) => ({ who: user, state, key, verified, since, note: otherKey === undefined ? undefined : `shows another key: ${otherKey.slice(0, 16)}` })),
  ...knocks.map(({ from, user, claimed, text, at }) => ({ who: user ?? (claimed === undefined ? from : `${claimed} (unverified)`), state: 'knocks' as const, since: at, note: text })),
];

export const contactColumns: readonly Column<ContactRow>[] = [
  { title: 'WHO', get: ({ who }) => who },
  { title: 'STATE', get: ({ state }) => state },
  { title: 'KEY', get: ({ key }) => key?.slice(0, 16) },
  { title: 'COMPARED', get: ({ verified }) => verified },
  { title: 'SINCE', get: ({ since }) => since },
  { title: 'NOTE', get: ({ note }) => note },
];
