import { domainPlaces } from '../client/paths.js';
import type { Store } from '../store/index.js';

/** What a domain server of this machine works with, where `protofly` looks for it. */
export interface DomainHome {
  /** Its state on disk, the publisher key included. The caller closes it. */
  readonly store: Store;
  /** Where `protofly domain status`, `protofly catalogue publish` and the like reach it. */
  readonly adminSocket: string;
}

/**
 * Opens the home of a domain server that this program runs by itself. One program at a time; a domain that
 * `protofly domain start` runs isn't this program's.
 * @param name of the domain
 * @throws ProtoflyError `E_USAGE` for a name that can't be a folder's, `E_STORE`
 */
export const domainHome = async (name: string, env: Readonly<Record<string, string | undefined>> = process.env): Promise<DomainHome> => {
  const { state, socket } = domainPlaces(name, env);
  const { openLmdbStore } = await import('../store/lmdb/index.js');
  return { store: openLmdbStore({ path: state }), adminSocket: socket };
};
