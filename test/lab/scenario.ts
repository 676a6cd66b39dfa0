import type { Side, SiteSpec } from './network.js';
import type { TrafficSpec } from './traffic.js';

/** What breaks. All that lasts is mended after `ms`. */
export type Fault =
  | { readonly kind: 'cut'; readonly side: Side; readonly ms: number }
  | { readonly kind: 'block-udp'; readonly side: Side; readonly ms: number }
  /** Of a site with a `wire`; afterwards it is perfect. */
  | { readonly kind: 'worsen'; readonly side: Side; readonly ms: number; readonly delayMs: number; readonly loss: number }
  | { readonly kind: 'readdress'; readonly side: Side }
  /** Stopped in order, and started again after `ms`. */
  | { readonly kind: 'restart-domain'; readonly ms: number }
  /** kill -9, and started again after `ms`. */
  | { readonly kind: 'kill-domain'; readonly ms: number }
  | { readonly kind: 'kill-runtime'; readonly side: Side; readonly ms: number }
  /** kill -9 of the domain server, after `ms` of the site's runtime, too; both are started again. */
  | { readonly kind: 'blackout'; readonly side: Side; readonly ms: number }
  /** kill -9 of the process in which a stub runs; bringing it back is the runtime's own affair. */
  | { readonly kind: 'kill-sandbox'; readonly side: Side; readonly stub: 'p2p-handler' | 'msg-node' };

export type Path = 'direct' | 'relay' | 'msg-node';

export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly a: SiteSpec;
  readonly b: SiteSpec;
  /** Whether the domain offers a relay. @default false */
  readonly turn?: boolean;
  readonly traffic: TrafficSpec;
  /** Traffic in the other direction at the same time. @default false */
  readonly both?: boolean;
  /** The way that messages take at first, and again in the end. */
  readonly path: Path;
  /** What breaks after a quarter of the traffic. @default nothing */
  readonly fault?: Fault;
  /** How long traffic may stand still, in milliseconds. */
  readonly standStillMs: number;
  /** How many messages may come twice: docs/protocol.md, FLW-5. @default 0 */
  readonly mayRepeat?: number;
  /** How soon after the last fault there is to be a direct connection again, in milliseconds. @default 30_000 */
  readonly healMs?: number;
  /** What `p2p doctor` says of the two sites at first. */
  readonly doctor?: string;
  /** Part of the short run. @default false */
  readonly quick?: boolean;
}
