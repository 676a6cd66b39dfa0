import { ProtoflyError } from '../../protocol/index.js';

/** Keeps a sandbox process from loading more native code, once it has the WebRTC library. Idempotent. */
export const forbidAddons = (): void => {
  if (Object.getOwnPropertyDescriptor(process, 'dlopen')?.configurable === false) return;
  const value = (): never => { throw new ProtoflyError('E_REFUSED', 'a sandbox loads no more native code'); };
  Object.defineProperty(process, 'dlopen', { value, writable: false, configurable: false });
};
