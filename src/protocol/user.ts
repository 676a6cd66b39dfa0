import { formatAddress, type Address } from './address.js';
import { ProtoflyError } from './errors.js';

const USER_NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$/;

export const isUserName = (name: unknown): name is string => typeof name === 'string' && USER_NAME.test(name);

/** Checks the name of a user within a domain, like `alice`. @throws ProtoflyError `E_USAGE` */
export const checkUserName = (name: unknown): string => {
  if (isUserName(name)) return name;
  throw new ProtoflyError('E_USAGE', `not a user name: ${JSON.stringify(String(name).slice(0, 80))}`, { hint: 'a user name has letters, digits, dots, dashes, plus and underscores' });
};

/** @throws ProtoflyError `E_USAGE` */
export const userAddress = (domain: string, name: unknown): Address => formatAddress({ scheme: 'user', domain, path: checkUserName(name) });

/** The people who may reach a user's runtime: his contacts, the users of his domain, or everybody. */
export const AUDIENCES = ['contacts', 'domain', 'anyone'] as const;
export type Audience = (typeof AUDIENCES)[number];

/** The people whose messages, direct connections and pings a runtime takes. */
export interface Acceptance {
  readonly messages: Audience;
  /** A direct connection shows both sides the IP addresses of the other. */
  readonly p2p: Audience;
  readonly presence: Audience;
}
