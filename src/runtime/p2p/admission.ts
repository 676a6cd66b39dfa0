import { asProtoflyError, isResponse, isWithin, partsOf, ProtoflyError, refuse, runtimeOf, type Message, type Backpressure } from '../../protocol/index.js';
import type { Hosts, Intake } from '../delivery/index.js';
import type { P2pConnection } from './p2p-connection.js';
import type { Protostub } from '../stubs/protostubs.js';

export interface AdmissionComponents {
  readonly hosts: Hosts;
  readonly intake: Pick<Intake, 'isOwn' | 'accept'>;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

const MAX_VERIFIED = 10_000;

/** Checks messages from P2P connections: their senders must live in the runtime at the other end. */
export class Admission {
  readonly #components: AdmissionComponents;
  #refused = 0;

  constructor(components: AdmissionComponents) {
    this.#components = components;
  }

  /** Number of messages that were turned away: of other senders, or of an unknown connection. */
  get refused(): number {
    return this.#refused;
  }

  /** Takes in a message that came over a connection, if its sender lives in the runtime at the other end. */
  admit(message: Message, connection: P2pConnection): Backpressure {
    const { from } = message;
    connection.brought(message);
    if (isWithin(from, connection.remoteRuntime) || connection.verified.has(from)) return this.#components.intake.accept(message, connection);
    if (this.#components.intake.isOwn(from) || runtimeOf(from) !== undefined || partsOf(from).scheme === 'domain') return this.refuse(message, connection);
    return this.#components.hosts.hostOf(from).then((host) => {
      if (host !== connection.remoteRuntime) return this.refuse(message, connection);
      if (connection.verified.size >= MAX_VERIFIED) connection.verified.clear();
      connection.verified.add(from);
      return this.#components.intake.accept(message, connection);
    }).catch((thrown: unknown) => {
      const error = asProtoflyError(thrown);
      this.#components.log('info', `a message from ${from} was not let in: ${error.message}`);
      return isResponse(message) || connection.link === undefined ? undefined : connection.send(refuse(message, error));
    });
  }

  /**
   * Refuses a message of a sender that doesn't live in the other runtime, or that a handler stub brought in this
   * runtime's name.
   */
  refuse(message: Message, origin: Protostub | P2pConnection): Backpressure {
    if ('remoteRuntime' in origin) {
      return this.turnAway(message, origin.name, (refusal) => origin.send(refusal), new ProtoflyError('E_REFUSED', `${message.from} does not live in ${origin.remoteRuntime}`));
    }
    this.#refused += 1;
    origin.refuse(message, `claims to come from ${message.from}`);
    return undefined;
  }

  /**
   * Counts and logs a message that is turned away. A request is refused over the path by which it came; a response is
   * dropped.
   */
  turnAway(message: Message, origin: string, reply: (refusal: Message) => Backpressure, error: ProtoflyError): Backpressure {
    this.#refused += 1;
    this.#components.log('info', `${origin} brought a ${message.type} from ${message.from}: ${error.message}`);
    return isResponse(message) ? undefined : reply(refuse(message, error));
  }
}
