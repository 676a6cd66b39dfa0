import { domainPlaces } from '../client/paths.js';
import type { Store } from '../store/index.js';

/** The resources of a domain server on this machine, at the paths that the `protofly` commands use. */
export interface DomainHome {
  /** The durable state, including the publisher key. The caller closes it. */
  readonly store: Store;
  /** Path of the socket used by `protofly domain status`, `protofly catalogue publish` and similar commands. */
  readonly adminSocket: string;
}

/**
 * Opens the home of a domain server that runs in this program. Only one program may have it open, and `protofly
 * domain start` counts as one.
 * @param name of the domain
 * @throws ProtoflyError `E_USAGE` for a name that can't be a folder name, `E_STORE`
 */
export const domainHome = async (name: string, env: Readonly<Record<string, string | undefined>> = process.env): Promise<DomainHome> => {
  const { state, socket } = domainPlaces(name, env);
  const { openLmdbStore } = await import('../store/lmdb/index.js');
  return { store: openLmdbStore({ path: state }), adminSocket: socket };
};
