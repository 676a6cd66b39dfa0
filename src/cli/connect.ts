import { Client } from '../client/client.js';
import { Runtime } from '../client/runtime.js';
import { checkProfile, type Context } from './context.js';

export interface ConnectOptions {
  /** Timeout of each response, in milliseconds. @default 10_000 */
  readonly timeoutMs?: number | undefined;
}

/** Connects to the profile's runtime. @throws ProtoflyError `E_NOT_RUNNING`, `E_NOT_FOUND` for an unknown profile */
export const connectRuntime = async (context: Context, options: ConnectOptions = {}): Promise<Runtime> => {
  checkProfile(context);
  const { profile } = context.flags;
  const flag = profile === 'default' ? '' : `--profile ${profile} `;
  const { client, session } = await Client.connect(context.places.socket, {
    name: profile === 'default' ? 'the runtime' : `the runtime of profile ${profile}`,
    hint: `start it: protofly ${flag}runtime start`,
    signal: context.signal,
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  });
  return new Runtime(client, session);
};

/** Runs `use` with a connected runtime, then closes the connection, even on failure. */
export const withRuntime = async <T>(context: Context, options: ConnectOptions, use: (runtime: Runtime) => Promise<T>): Promise<T> => {
  const runtime = await connectRuntime(context, options);
  try {
    return await use(runtime);
  } finally {
    await runtime.client.close();
  }
};
