import type { Places } from '../../client/paths.js';

/**
 * Makes the folders of a daemon, closed to other users. Closes existing ones.
 * @throws ProtoflyError `E_REFUSED` if one belongs to another user
 */
export const preparePlaces = async ({ state, config }: Places): Promise<void> => {
  const [{ dirname, join }, { ensurePrivateFolder, tightenFile }] = await Promise.all([import('node:path'), import('../../security/private-files.js')]);
  for (const folder of [dirname(state), state, config]) ensurePrivateFolder(folder);
  tightenFile(join(config, 'settings.json'));
};
