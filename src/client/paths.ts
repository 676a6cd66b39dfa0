import { existsSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { isAbsolute, join, posix, win32, type PlatformPath } from 'node:path';
import { ProtoflyError } from '../protocol/index.js';

export interface Environment {
  readonly [name: string]: string | undefined;
}

/** The paths of one profile, or of one domain server. */
export interface Places {
  /** Folder of the settings file. */
  readonly config: string;
  /** Folder of the state. */
  readonly state: string;
  readonly socket: string;
  readonly log: string;
}

/** Longest path of a unix socket on every platform: 104 bytes on macOS, less the closing zero and a margin. */
const LONGEST_SOCKET_PATH = 100;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** @throws ProtoflyError `E_USAGE` */
const checkName = (what: string, name: string): string => {
  if (NAME.test(name)) return name;
  throw new ProtoflyError('E_USAGE', `not a ${what}: ${JSON.stringify(name.slice(0, 80))}`, { hint: 'a name has up to 128 letters, digits, dots, dashes and underscores' });
};

interface Roots {
  readonly config: string;
  readonly data: string;
}

/**
 * Returns the folder that a variable names. Ignores relative paths, as other programs do: they would depend on the
 * current folder.
 * @throws ProtoflyError `E_USAGE` for a path that isn't UTF-8
 */
const folderIn = (env: Environment, name: string, { isAbsolute }: PlatformPath): string | undefined => {
  const folder = env[name];
  if (folder === undefined || !isAbsolute(folder)) return undefined;
  if (!folder.includes('\ufffd')) return folder;
  throw new ProtoflyError('E_USAGE', `${name} isn't UTF-8 text`, { hint: 'rename the folder, or set PROTOFLY_HOME to another one' });
};

/** @throws ProtoflyError `E_PLATFORM` for a user without a home */
const homeIn = (env: Environment, platform: NodeJS.Platform, path: PlatformPath): string => {
  const named = folderIn(env, platform === 'win32' ? 'USERPROFILE' : 'HOME', path);
  if (named !== undefined) return named;
  try {
    return userInfo().homedir;
  } catch (cause) {
    throw new ProtoflyError('E_PLATFORM', 'this user has no home folder', { hint: 'set PROTOFLY_HOME to a folder for all files of protofly', cause });
  }
};

const rootsOf = (env: Environment, platform: NodeJS.Platform): Roots => {
  const path = platform === 'win32' ? win32 : posix;
  const own = env['PROTOFLY_HOME'] ?? '';
  const all = folderIn(env, 'PROTOFLY_HOME', path);
  if (all !== undefined) return { config: path.normalize(all), data: path.normalize(all) };
  if (own !== '') throw new ProtoflyError('E_USAGE', `PROTOFLY_HOME is not an absolute path: ${JSON.stringify(own)}`, { hint: 'give the whole path: a relative one would depend on the current folder' });
  const home = (...below: readonly string[]): string => path.join(homeIn(env, platform, path), ...below);
  if (platform === 'win32') {
    return { config: path.join(folderIn(env, 'APPDATA', path) ?? home('AppData', 'Roaming'), 'protofly'), data: path.join(folderIn(env, 'LOCALAPPDATA', path) ?? home('AppData', 'Local'), 'protofly') };
  }
  if (platform === 'darwin') return { config: home('Library', 'Preferences', 'protofly'), data: home('Library', 'Application Support', 'protofly') };
  return { config: path.join(folderIn(env, 'XDG_CONFIG_HOME', path) ?? home('.config'), 'protofly'), data: path.join(folderIn(env, 'XDG_DATA_HOME', path) ?? home('.local', 'share'), 'protofly') };
};

/** Returns a folder for sockets that only this user can access. @throws ProtoflyError `E_REFUSED` */
const shortFolder = (): string => {
  const uid = process.getuid?.() ?? 0;
  const temporary = tmpdir();
  const folder = join(isAbsolute(temporary) ? temporary : '/tmp', `protofly-${String(uid)}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new ProtoflyError('E_REFUSED', `${folder} is not a folder that only you can enter`, { hint: 'remove it, or set PROTOFLY_HOME to a shorter path' });
  }
  return folder;
};

const socketOf = (path: string, platform: NodeJS.Platform): string => {
  // On Windows the path becomes the name of a pipe, which may be longer.
  if (platform === 'win32' || Buffer.byteLength(path) <= LONGEST_SOCKET_PATH) return path;
  // Loaded only if needed: it would cost every command some milliseconds.
  const { createHash } = process.getBuiltinModule('node:crypto');
  return join(shortFolder(), `${createHash('sha256').update(path).digest('hex').slice(0, 24)}.sock`);
};

const placesOf = (kind: string, name: string, file: string, { config, data }: Roots, platform: NodeJS.Platform): Places => {
  const { join } = platform === 'win32' ? win32 : posix;
  return {
    config: join(config, kind, name),
    state: join(data, kind, name, 'state'),
    socket: socketOf(join(data, kind, name, `${file}.sock`), platform),
    log: join(data, kind, name, `${file}.log`),
  };
};

/** @throws ProtoflyError `E_USAGE` for a name that can't be a folder name */
export const profilePlaces = (profile: string, env: Environment, platform = process.platform): Places =>
  placesOf('profiles', checkName('profile name', profile), 'runtime', rootsOf(env, platform), platform);

/** @throws ProtoflyError `E_USAGE` for a name that can't be a folder name */
export const domainPlaces = (name: string, env: Environment, platform = process.platform): Places =>
  placesOf('domains', checkName('domain name', name), 'domain', rootsOf(env, platform), platform);

/** Lists the domain servers that were ever started on this machine. */
export const knownDomainServers = (env: Environment, platform = process.platform): string[] => {
  const folder = join(rootsOf(env, platform).data, 'domains');
  return existsSync(folder) ? readdirSync(folder).filter((name) => NAME.test(name)).sort() : [];
};

/** Returns the folder of the keys of this account's users. All its runtimes share them. */
export const userKeysFolder = (env: Environment, platform = process.platform): string =>
  (platform === 'win32' ? win32 : posix).join(rootsOf(env, platform).data, 'users');

/** True if a profile was ever used. Always true for the default profile. */
export const profileExists = (profile: string, places: Places): boolean =>
  profile === 'default' || existsSync(places.config) || existsSync(places.state);
