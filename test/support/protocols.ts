import type { Test } from 'tap';
import { DomainClient, type Client } from './domain-client.js';
import { RestClient } from './rest-client.js';

/** A protocol between clients and a message node. */
export interface Protocol {
  readonly name: string;
  /** Connects without a session. */
  connect(url: string, runtime: string): Promise<Client>;
  open(url: string, runtime: string): Promise<Client>;
  /** True if a session lives on one connection, so that a second connection with its token ends the first. */
  readonly connected: boolean;
  /** Returns the client's view of its end, if the node ends its connection for this reason. */
  ended(reason: RegExp): { readonly code: number; readonly reason?: RegExp };
}

const rest = (name: string, receiving: 'poll' | 'stream'): Protocol => ({
  name,
  connect: (url, runtime) => Promise.resolve(RestClient.connect(url, runtime, receiving)),
  open: (url, runtime) => RestClient.connect(url, runtime, receiving).openSession(),
  connected: false,
  ended: () => ({ code: 401 }),
});

export const PROTOCOLS: readonly Protocol[] = [
  {
    name: 'WebSocket',
    connect: (url, runtime) => DomainClient.connect(url, runtime),
    open: (url, runtime) => DomainClient.open(url, runtime),
    connected: true,
    ended: (reason) => ({ code: 1000, reason }),
  },
  rest('REST', 'poll'),
  rest('REST with an event stream', 'stream'),
];

/** Server settings for tests with clients that vanish: over HTTP, only silence shows that. */
export const SOON_AWAY = { rest: { idleMs: 500 } } as const;

/** Declares one test for each protocol. */
export const forEachProtocol = (t: Test, title: string, run: (t: Test, protocol: Protocol) => Promise<void>): void => {
  for (const protocol of PROTOCOLS) void t.test(`${title} (${protocol.name})`, (t) => run(t, protocol));
};
