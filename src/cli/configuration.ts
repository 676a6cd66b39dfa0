import { ProtoflyError, shownUrl } from '../protocol/index.js';
import { checkProfile, type Context } from './context.js';
import type { Choice } from './io/prompt.js';
import { keyNamed, KEYS, readSettings, writeSettings, type Settings } from './settings.js';

export interface Setting {
  readonly key: string;
  /** Undefined if it isn't set. */
  readonly value: unknown;
}

export const keyChoices = (): Promise<readonly Choice<string>[]> => Promise.resolve(KEYS.map(({ name, what }) => ({ name: `${name}  ${what}`, value: name })));

/** Returns the settings with user names and passwords removed from URLs. */
const shown = ({ domain, domains, iceServers, ...others }: Settings): Settings => ({
  ...others,
  ...(domain === undefined ? {} : { domain: shownUrl(domain) }),
  ...(iceServers === undefined ? {} : { iceServers: iceServers.map(shownUrl) }),
  domains: Object.fromEntries(Object.entries(domains).map(([name, url]) => [name, shownUrl(url)])),
});

/** @throws ProtoflyError `E_USAGE` for an unknown key, `E_NOT_FOUND` if it isn't set */
export const getSetting = async (context: Context, name: string): Promise<Setting> => {
  checkProfile(context);
  const key = keyNamed(name);
  const value = shown(await readSettings(context.places))[key.name];
  if (value !== undefined) return { key: key.name, value };
  throw new ProtoflyError('E_NOT_FOUND', `${key.name} isn't set`, { hint: `set it: protofly config set ${key.name} VALUE` });
};

/** @throws ProtoflyError `E_USAGE` */
export const setSetting = async (context: Context, name: string, text: string): Promise<Setting> => {
  const key = keyNamed(name);
  const value = key.read(text);
  await writeSettings(context.places, { [key.name]: value });
  return { key: key.name, value };
};

/** Lists all settings, set or not. Domains are included; `domain list` shows them, too. */
export const listSettings = async (context: Context): Promise<readonly (Setting & { readonly what: string })[]> => {
  checkProfile(context);
  const settings = shown(await readSettings(context.places));
  const domains = Object.keys(settings.domains).length === 0 ? undefined : settings.domains;
  return [
    ...KEYS.map(({ name, what }) => ({ key: name as string, value: settings[name] as unknown, what })),
    { key: 'domains', value: domains, what: 'base URLs; see `protofly domain add`' },
  ];
};
