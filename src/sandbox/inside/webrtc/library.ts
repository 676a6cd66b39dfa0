import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ProtoflyError } from '../../../protocol/index.js';

export interface LibraryInit {
  /**
   * Folder of the package node-datachannel, without links on the way to it: a sandbox process may not read those.
   * @default found from here
   */
  readonly library?: string | undefined;
  /** True in a process that is ended when it gives no sign of life (`testForDeadlock`). @default false */
  readonly isGuarded?: boolean;
}

/** Loads a module of the WebRTC library. @throws ProtoflyError `E_PLATFORM` */
export const loadLibrary = (name: 'node-datachannel' | 'node-datachannel/polyfill', { library }: LibraryInit): unknown => {
  try {
    return createRequire(library === undefined ? import.meta.url : join(library, 'package.json'))(name);
  } catch (cause) {
    throw new ProtoflyError('E_PLATFORM', 'WebRTC is not available here: its library cannot be loaded', { cause });
  }
};
