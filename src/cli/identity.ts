import { child } from '../protocol/index.js';
import type { DeviceInfo, UserInfo } from '../client/documents.js';
import type { Runtime } from '../client/runtime.js';
import { withRuntime } from './connect.js';
import type { Context } from './context.js';
import type { Column } from './io/table.js';

export interface DeviceCodeInfo {
  /** The text that the other machine gives to `runtime start --device`. */
  readonly code: string;
  readonly user: string;
  /** The domain's URL in the code. */
  readonly url: string;
  /** ISO 8601 */
  readonly expires: string;
}

/** Sends a request of the user to his runtime. @returns the value of the response @throws ProtoflyError */
export const askUser = async (runtime: Runtime, type: 'read' | 'create' | 'update' | 'delete', resource: string, value: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<unknown> =>
  (await runtime.client.ask(child(runtime.session.runtime, 'user'), type, { resource, value }, { timeoutMs })).body.value;

const asked = <T>(context: Context, type: 'read' | 'create' | 'update' | 'delete', resource: string, timeoutMs: number, value: Readonly<Record<string, unknown>> = {}): Promise<T> =>
  withRuntime(context, { timeoutMs }, async (runtime) => (await askUser(runtime, type, resource, value, timeoutMs)) as T);

/** Describes the user of the profile's runtime. @throws ProtoflyError `E_NOT_RUNNING` */
export const whoami = (context: Context, timeoutMs: number): Promise<UserInfo> => asked(context, 'read', '/user', timeoutMs);

/** Makes a code with which another runtime becomes the user's. @throws ProtoflyError `E_NOT_RUNNING`, `E_REFUSED` if the user's key is elsewhere */
export const addDevice = (context: Context, ttlMs: number, url: string | undefined, timeoutMs: number): Promise<DeviceCodeInfo> =>
  asked(context, 'create', '/device-code', timeoutMs, { ttlMs, ...(url === undefined ? {} : { url }) });

/** Lists the user's runtimes. @throws ProtoflyError `E_NOT_RUNNING`, `E_REFUSED` */
export const listDevices = (context: Context, timeoutMs: number): Promise<readonly DeviceInfo[]> => asked(context, 'read', '/devices', timeoutMs);

/** Removes a runtime of the user, by its name or URL. @throws ProtoflyError `E_NOT_RUNNING`, `E_REFUSED`, `E_NOT_FOUND`, `E_AMBIGUOUS` */
export const removeDevice = (context: Context, device: string, timeoutMs: number): Promise<DeviceInfo> => asked(context, 'delete', '/devices', timeoutMs, { device });

export const userFields = ({ user, runtime, userKey, runtimeKey, device, expires, issuer }: UserInfo): Readonly<Record<string, unknown>> => ({
  user, 'user key': userKey, runtime, 'runtime key': runtimeKey, machine: device,
  certificate: expires === undefined ? 'none yet' : `until ${expires}`, 'certified by': issuer ?? 'itself: the user\'s key is here',
});

export const deviceColumns: readonly Column<DeviceInfo>[] = [
  { title: 'MACHINE', get: ({ name }) => name },
  { title: 'RUNTIME', get: ({ runtime }) => runtime },
  { title: 'ADDED', get: ({ added }) => added },
  { title: 'REMOVED', get: ({ removed }) => removed },
];
