import type { Message, Backpressure, ProtoflyError, Request } from '../../protocol/index.js';

/** A message on its way out, with its encoding. */
export interface Item {
  readonly message: Message;
  readonly text: string;
}

/** How a message node is reached. What outlives a connection is kept here. */
export interface Transport {
  /** Begins a connection; there is one at a time. @throws when that can't even be tried */
  connect(events: ConnectionEvents): Connection;
  /** Gives up what was under way when the last connection ended and is kept for the next one, for when there will be none. */
  abandon(): readonly Message[];
}

/** A connection to a message node. After `close` it only hands on messages that it had taken already. */
export interface Connection {
  /** Says something to the session manager. The answer comes as `onMessage`. */
  say(request: Request): void;
  /** The session is open: messages are carried from now on. `token` is the session's. */
  begin(how: 'new' | 'resumed', token: string | undefined): void;
  /** Sends a message, in order. @throws ProtoflyError when it never will be sent */
  send(item: Item): Backpressure;
  /** Settles when everything that was sent has left, or the connection has ended. It never rejects. */
  flush(): Promise<void>;
  /** Ends it at once. Idempotent. @returns what never left and may be sent over another */
  close(): readonly Item[];
}

export interface ConnectionEvents {
  /** The session may be opened. Not called from inside `connect`. */
  onOpen(): void;
  /** @returns backpressure while no more should come */
  onMessage(message: Message): Backpressure;
  /** A message that was sent will not be taken. */
  onRefused(message: Message, error: ProtoflyError): void;
  /** Asks the message node whether it is there. */
  ping(onAnswer: () => void): void;
  /** The connection is of no use any more: it will be closed. */
  onDropped(why: string): void;
}
