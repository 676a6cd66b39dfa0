import { askDomain, parseDays } from './daemons/domain.js';
import type { MemberInfo } from '../client/documents.js';
import type { Context } from './context.js';
import type { Column } from './io/table.js';

export interface Invitation {
  /** The text that the user gives to `runtime start --invite`. */
  readonly invite: string;
  readonly user: string;
  readonly domain: string;
  /** ISO 8601 */
  readonly expires: string;
}

/** Invites a user to a domain whose server runs on this machine. @param expires a duration; `1d` @throws ProtoflyError `E_USAGE`, `E_NOT_RUNNING` */
export const inviteUser = async (context: Context, domain: string | undefined, user: string, expires: string, timeoutMs: number): Promise<Invitation> =>
  (await askDomain(context, domain, 'create', { resource: 'invitation', value: { user, ttlMs: parseDays(expires) } }, timeoutMs)) as Invitation;

/** Lists the users of a domain. @throws ProtoflyError `E_NOT_RUNNING` */
export const listMembers = async (context: Context, domain: string | undefined, timeoutMs: number): Promise<readonly MemberInfo[]> =>
  (await askDomain(context, domain, 'read', { resource: 'members' }, timeoutMs)) as readonly MemberInfo[];

/** Removes a user from a domain. @throws ProtoflyError `E_USAGE`, `E_NOT_FOUND`, `E_NOT_RUNNING` */
export const removeMember = async (context: Context, domain: string | undefined, user: string, timeoutMs: number): Promise<{ readonly user: string; readonly domain: string }> =>
  (await askDomain(context, domain, 'delete', { resource: 'member', value: { user } }, timeoutMs)) as { user: string; domain: string };

export const memberColumns: readonly Column<MemberInfo>[] = [
  { title: 'USER', get: ({ user }) => user },
  { title: 'KEY', get: ({ key }) => key.slice(0, 16) },
  { title: 'SINCE', get: ({ since }) => since },
  { title: 'REMOVED', get: ({ removed }) => removed },
];

const LOCAL = /^https?:\/\/(?:localhost|127\.[\d.]+|\[::1\])(?::|\/|$)/;

/** True if a URL names the machine itself, and so leads nobody else there. */
export const isLocalUrl = (url: string): boolean => LOCAL.test(url);
