import { child, isErrorCode, ProtoflyError, type TrustedKey, type Verification } from '../protocol/index.js';
import { withRuntime } from './connect.js';
import type { Runtime } from '../client/runtime.js';
import type { Context } from './context.js';
import type { Column } from './io/table.js';

export interface PackageName {
  readonly type: string;
  readonly name: string;
  /** Defaults to the runtime's own domain. */
  readonly domain?: string | undefined;
}

const ask = async (runtime: Runtime, type: 'read' | 'create' | 'delete' | 'execute', resource: string, value: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<unknown> =>
  (await runtime.client.ask(child(runtime.session.runtime, 'catalogue'), type, { resource, value }, { timeoutMs })).body.value;

const within = <T>(context: Context, timeoutMs: number, use: (runtime: Runtime) => Promise<T>): Promise<T> => withRuntime(context, { timeoutMs }, use);

/** Lists the publisher keys that the profile's runtime trusts. @throws ProtoflyError `E_NOT_RUNNING` */
export const listTrust = (context: Context, timeoutMs: number): Promise<readonly TrustedKey[]> =>
  within(context, timeoutMs, async (runtime) => (await ask(runtime, 'read', '/trust', {}, timeoutMs)) as readonly TrustedKey[]);

/**
 * Trusts a key of a domain, or, without a key, all keys that the domain presents now.
 * @throws ProtoflyError `E_NOT_RUNNING`, `E_NOT_FOUND` if the domain presents no such key, `E_UNREACHABLE`,
 * `E_UNSIGNED`
 */
export const addTrust = (context: Context, domain: string, keyId: string | undefined, timeoutMs: number): Promise<readonly TrustedKey[]> =>
  within(context, timeoutMs, async (runtime) => (await ask(runtime, 'create', '/trust', { domain, ...(keyId === undefined ? {} : { keyId }) }, timeoutMs)) as readonly TrustedKey[]);

/** Removes all trusted keys of a domain. @throws ProtoflyError `E_NOT_RUNNING`, `E_NOT_FOUND` */
export const removeTrust = (context: Context, domain: string, timeoutMs: number): Promise<readonly TrustedKey[]> =>
  within(context, timeoutMs, async (runtime) => (await ask(runtime, 'delete', '/trust', { domain }, timeoutMs)) as readonly TrustedKey[]);

/**
 * Has the runtime fetch a package again and check it.
 * @returns a package that the runtime would deploy
 * @throws ProtoflyError `E_NOT_RUNNING`, `E_NOT_FOUND`, `E_UNREACHABLE`, `E_POLICY` for a valid package that is not
 * allowed, and the refusals of docs/protocol.md, "Catalogue"
 */
export const verifyPackage = (context: Context, { type, name, domain }: PackageName, timeoutMs: number): Promise<Verification> =>
  within(context, timeoutMs, async (runtime) => {
    const found = (await ask(runtime, 'execute', '/verify', { type, name, ...(domain === undefined ? {} : { domain }) }, timeoutMs)) as Verification;
    if (found.allowed) return found;
    const { code, message, hint } = found.refusal ?? { code: 'E_POLICY', message: `${found.origin} is not allowed here` };
    throw new ProtoflyError(isErrorCode(code) ? code : 'E_POLICY', message, hint === undefined ? {} : { hint });
  });

export const trustColumns: readonly Column<TrustedKey>[] = [
  { title: 'DOMAIN', get: (row) => row.domain },
  { title: 'KEY', get: (row) => row.keyId },
  { title: 'HOW', get: (row) => row.how },
  { title: 'BY HAND', get: (row) => row.byHand },
  { title: 'SINCE', get: (row) => row.since },
];

export const verificationFields = ({ origin, version, hash, size, keyId, trust, capabilities }: Verification): Readonly<Record<string, unknown>> => ({
  package: origin, version, hash, size: size === undefined ? undefined : `${String(size)} bytes`,
  'signed by': keyId, believed: `${trust.how}${trust.how !== 'added' && trust.byHand ? ' (by one that was added)' : ''}, since ${trust.since}`,
  'asks for': capabilities.length === 0 ? 'nothing' : capabilities.join(', '),
});
