import { readFileSync } from 'node:fs';

/** Returns the version of the installed package. */
export const packageVersion = (): string => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string };
  return version;
};
