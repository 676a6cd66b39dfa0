import { existsSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { ProtoflyError } from '../protocol/index.js';

export interface Environment {
  readonly [name: string]: string | undefined;
}

/** Where the parts of one profile, or of one domain server, lie. */
export interface Places {
  /** Folder of the settings file. */
  readonly config: string;
  /** Folder of the state. */
  readonly state: string;
  readonly socket: string;
  readonly log: string;
}

/** What a unix socket's path may hold on every platform (104 bytes on macOS), less the closing zero and some air. */
const LONGEST_SOCKET_PATH = 100;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** @throws ProtoflyError `E_USAGE` */
export const checkName = (what: string, name: string): string => {
  if (NAME.test(name)) return name;
  throw new ProtoflyError('E_USAGE', `not a ${what}: ${JSON.stringify(name.slice(0, 80))}`, { hint: 'a name has up to 128 letters, digits, dots, dashes and underscores' });
};

interface Roots {
  readonly config: string;
  readonly data: string;
}

const rootsOf = (env: Environment, platform: NodeJS.Platform): Roots => {
  const home = env['PROTOFLY_HOME'];
  if (home !== undefined && home !== '') return { config: resolve(home), data: resolve(home) };
  if (platform === 'win32') {
    const local = env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local');
    return { config: join(env['APPDATA'] ?? join(homedir(), 'AppData', 'Roaming'), 'protofly'), data: join(local, 'protofly') };
  }
  if (platform === 'darwin') {
    const library = join(homedir(), 'Library');
    return { config: join(library, 'Preferences', 'protofly'), data: join(library, 'Application Support', 'protofly') };
  }
  const config = env['XDG_CONFIG_HOME'] || join(homedir(), '.config');
  return { config: join(config, 'protofly'), data: join(env['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'protofly') };
};

/** A folder for sockets that is nobody else's. @throws ProtoflyError `E_REFUSED` */
const shortFolder = (): string => {
  const { uid } = userInfo();
  const folder = join(tmpdir(), `protofly-${String(uid)}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new ProtoflyError('E_REFUSED', `${folder} is not a folder that only you can enter`, { hint: 'remove it, or set PROTOFLY_HOME to a shorter path' });
  }
  return folder;
};

const socketOf = (path: string, platform: NodeJS.Platform): string => {
  // On Windows it becomes the name of a pipe, which may be longer.
  if (platform === 'win32' || Buffer.byteLength(path) <= LONGEST_SOCKET_PATH) return path;
  // Loading it always would cost every command some milliseconds.
  const { createHash } = process.getBuiltinModule('node:crypto');
  return join(shortFolder(), `${createHash('sha256').update(path).digest('hex').slice(0, 24)}.sock`);
};

const placesOf = (kind: string, name: string, file: string, { config, data }: Roots, platform: NodeJS.Platform): Places => ({
  config: join(config, kind, name),
  state: join(data, kind, name, 'state'),
  socket: socketOf(join(data, kind, name, `${file}.sock`), platform),
  log: join(data, kind, name, `${file}.log`),
});

/** @throws ProtoflyError `E_USAGE` for a name that can't be a folder */
export const profilePlaces = (profile: string, env: Environment, platform = process.platform): Places =>
  placesOf('profiles', checkName('profile name', profile), 'runtime', rootsOf(env, platform), platform);

/** @throws ProtoflyError `E_USAGE` for a name that can't be a folder */
export const domainPlaces = (name: string, env: Environment, platform = process.platform): Places =>
  placesOf('domains', checkName('domain name', name), 'domain', rootsOf(env, platform), platform);

/** The domain servers that were ever started here. */
export const knownDomainServers = (env: Environment, platform = process.platform): string[] => {
  const folder = join(rootsOf(env, platform).data, 'domains');
  return existsSync(folder) ? readdirSync(folder).filter((name) => NAME.test(name)).sort() : [];
};

/** Whether a profile was ever used; the default one always was. */
export const profileExists = (profile: string, places: Places): boolean =>
  profile === 'default' || existsSync(places.config) || existsSync(places.state);
