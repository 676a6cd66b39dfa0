import { ProtoflyError, type IceServer } from '../protocol/index.js';
import { readSecretFile } from './secret-file.js';

/**
 * Returns the servers of the settings. TURN servers get the credentials in the file (`username:password`).
 * @throws ProtoflyError `E_USAGE`
 */
export const withCredentials = (servers: readonly string[], file: string | undefined): IceServer[] => {
  if (file === undefined) return [...servers];
  const text = readSecretFile(file);
  const at = text.indexOf(':');
  if (at < 1) throw new ProtoflyError('E_USAGE', `${file} doesn't hold username:password`);
  const [username, credential] = [text.slice(0, at), text.slice(at + 1)];
  return servers.map((url) => (url.startsWith('turn:') && !url.includes('@') ? { urls: [url], username, credential } : url));
};
