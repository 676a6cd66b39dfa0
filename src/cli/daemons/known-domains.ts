import { domainUrlOf, ProtoflyError, shownUrl } from '../../protocol/index.js';
import { checkProfile, type Context } from '../context.js';
import { readSettings, writeSettings } from '../settings.js';
import { checkDomainName } from './domain.js';

export interface KnownDomain {
  readonly name: string;
  readonly url: string;
}

/** Lists the domains whose URL is set in the profile, because DNS has no record of them. */
export const listDomains = async (context: Context): Promise<readonly KnownDomain[]> => {
  checkProfile(context);
  const { domains } = await readSettings(context.places);
  return Object.entries(domains).map(([name, url]) => ({ name, url: shownUrl(url) })).sort((a, b) => (a.name < b.name ? -1 : 1));
};

/** Adds a domain, or changes its URL. @throws ProtoflyError `E_USAGE` */
export const addDomain = async (context: Context, name: string, url: string): Promise<KnownDomain> => {
  const added = { name: checkDomainName(name), url: domainUrlOf(url) };
  const { domains } = await readSettings(context.places);
  await writeSettings(context.places, { domains: { ...domains, [added.name]: added.url } });
  return added;
};

/** @throws ProtoflyError `E_NOT_FOUND` */
export const removeDomain = async (context: Context, name: string): Promise<KnownDomain> => {
  checkProfile(context);
  const canonical = name.toLowerCase();
  const { [canonical]: url, ...left } = (await readSettings(context.places)).domains;
  if (url === undefined) throw new ProtoflyError('E_NOT_FOUND', `no domain ${canonical} was added`, { hint: 'see protofly domain list' });
  await writeSettings(context.places, { domains: left });
  return { name: canonical, url: shownUrl(url) };
};
