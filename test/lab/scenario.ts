import type { Side, SiteSpec } from './network.js';
import type { TrafficSpec } from './traffic.js';

/** A fault. A lasting one is repaired after `ms`. */
export type Fault =
  | { readonly kind: 'cut'; readonly side: Side; readonly ms: number }
  | { readonly kind: 'block-udp'; readonly side: Side; readonly ms: number }
  /** For a site with a `wire`; afterwards the wire is perfect. */
  | { readonly kind: 'worsen'; readonly side: Side; readonly ms: number; readonly delayMs: number; readonly loss: number }
  | { readonly kind: 'readdress'; readonly side: Side }
  /** Stopped in order, and started again after `ms`. */
  | { readonly kind: 'restart-domain'; readonly ms: number }
  /** kill -9, and started again after `ms`. */
  | { readonly kind: 'kill-domain'; readonly ms: number }
  | { readonly kind: 'kill-runtime'; readonly side: Side; readonly ms: number }
  /** kill -9 of the domain server, and after `ms` of the site's runtime; both are started again. */
  | { readonly kind: 'blackout'; readonly side: Side; readonly ms: number }
  /** kill -9 of the process in which a stub runs. The runtime itself has to restart it. */
  | { readonly kind: 'kill-sandbox'; readonly side: Side; readonly stub: 'p2p-handler' | 'msg-node' };

export type Path = 'direct' | 'relay' | 'msg-node';

export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly a: SiteSpec;
  readonly b: SiteSpec;
  /** True if the domain offers a relay. @default false */
  readonly turn?: boolean;
  readonly traffic: TrafficSpec;
  /** Sends traffic in the other direction at the same time. @default false */
  readonly both?: boolean;
  /** The path that messages take at first, and again in the end. */
  readonly path: Path;
  /** The fault after a quarter of the traffic. @default nothing */
  readonly fault?: Fault;
  /** Maximum time for which traffic may stand still, in milliseconds. */
  readonly standStillMs: number;
  /** Maximum number of messages that come twice: docs/protocol.md, FLW-5. @default 0 */
  readonly mayRepeat?: number;
  /** Maximum time from the last fault to a direct connection, in milliseconds. @default 30_000 */
  readonly healMs?: number;
  /** The expected first verdict of `p2p doctor` on the two sites. */
  readonly doctor?: string;
  /** Part of the short run. @default false */
  readonly quick?: boolean;
}
