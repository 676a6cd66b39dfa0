/** How a message came in. */
export type Path = 'p2p' | 'msg-node' | 'local';

/** What is known of how a message came in, and told to its sender. */
export interface Arrival {
  readonly path: Path;
  /** Of the P2P connection over which it came. */
  readonly generation?: number;
}
