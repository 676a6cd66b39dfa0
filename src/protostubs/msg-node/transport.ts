import type { Message, Backpressure, ProtoflyError, Request } from '../../protocol/index.js';

/** An outgoing message with its encoding. */
export interface Item {
  readonly message: Message;
  readonly text: string;
}

/** Connects to a message node. Keeps the state that outlives a connection. */
export interface Transport {
  /** Starts a connection; only one at a time. @throws if it can't even be tried */
  connect(events: ConnectionEvents): Connection;
  /** Gives up messages that were in flight when the last connection ended. Call it if no further connection follows. */
  abandon(): readonly Message[];
}

/** A connection to a message node. After `close` it only hands on messages that it had already taken. */
export interface Connection {
  /** Sends a request to the session manager. The answer comes as `onMessage`. */
  say(request: Request): void;
  /** Starts carrying messages, because the session is open. `token` is the session's. */
  begin(how: 'new' | 'resumed', token: string | undefined): void;
  /** Sends a message, in order. @throws ProtoflyError if it will never be sent */
  send(item: Item): Backpressure;
  /** Settles when everything sent has left, or the connection has ended. Never rejects. */
  flush(): Promise<void>;
  /** Ends the connection at once. Idempotent. @returns items that never left and may be sent over another connection */
  close(): readonly Item[];
}

export interface ConnectionEvents {
  /** The session may be opened. Never called from within `connect`. */
  onOpen(): void;
  /** @returns backpressure, pending while no more messages should come */
  onMessage(message: Message): Backpressure;
  /** A sent message will not be taken. */
  onRefused(message: Message, error: ProtoflyError): void;
  /** Sends the message node a ping. */
  ping(onAnswer: () => void): void;
  /** The connection can't be used any more; the stub will close it. */
  onDropped(why: string): void;
}
