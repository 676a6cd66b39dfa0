import { Agent, fetch as send, type buildConnector } from 'undici';

export interface ClientInit {
  /** True if connections stay open for further requests. @default false: a command can end */
  readonly keepsOpen?: boolean;
}

/** Returns a `fetch` whose connections are made in this way. It follows no redirections. */
export const fetchWith = (connect: buildConnector.BuildOptions, { keepsOpen = false }: ClientInit = {}): typeof globalThis.fetch => {
  const dispatcher = new Agent({ connect, ...(keepsOpen ? {} : { pipelining: 0 }) });
  return async (input, init) => {
    const response: unknown = await send(new URL(input instanceof Request ? input.url : input), { ...(init as Parameters<typeof send>[1]), redirect: 'manual', dispatcher });
    // The package's response has the shape of the global one.
    return response as Response;
  };
};
