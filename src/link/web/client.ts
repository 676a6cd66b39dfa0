import { Agent, fetch as send, type buildConnector } from 'undici';

/**
 * Returns a `fetch` whose connections are made in this way. It follows no redirections, and keeps no connections open:
 * each request is made, and checked, on its own.
 */
export const fetchWith = (connect: buildConnector.BuildOptions): typeof globalThis.fetch => {
  const dispatcher = new Agent({ pipelining: 0, connect });
  return async (input, init) => {
    const response: unknown = await send(new URL(input instanceof Request ? input.url : input), { ...(init as Parameters<typeof send>[1]), redirect: 'manual', dispatcher });
    // The package's response has the shape of the global one.
    return response as Response;
  };
};
