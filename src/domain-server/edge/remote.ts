import { isIPv6 } from 'node:net';
import { SHARE_PER_ADDRESS } from '../shard/share.js';

/** The parts that one remote address may have of what a server has for all (`Shares`), from 0 to 1. */
export interface ShareLimits {
  /** @default SHARE_PER_ADDRESS */
  readonly perAddress: number;
  /** The same for this machine, where its programs and reverse proxies come from. At 1 they aren't limited. @default 1 */
  readonly ofLoopback: number;
}

export const SHARE_LIMITS: ShareLimits = { perAddress: SHARE_PER_ADDRESS, ofLoopback: 1 };

/**
 * Names the holder of shares behind a remote address: the IPv4 address, or the first 64 bits of an IPv6 address, since
 * one subscriber has all addresses that share them.
 * @returns undefined if it isn't limited
 */
export const holderOf = (address: string | undefined, { ofLoopback }: ShareLimits = SHARE_LIMITS): string | undefined => {
  if (address === undefined) return undefined;
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if ((plain === '::1' || plain.startsWith('127.')) && ofLoopback >= 1) return undefined;
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0');
  return `${[...groups, ...zeros, ...after].slice(0, 4).map((group) => group.toLowerCase().replace(/^0+(?=.)/, '')).join(':')}::/64`;
};
