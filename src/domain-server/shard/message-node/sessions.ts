import { createHash, timingSafeEqual } from 'node:crypto';
import { parentOf, ProtoflyError, respond, runtimeOf, SESSION, type Address, type Request, type Response } from '../../../protocol/index.js';
import type { Admission } from '../members/admission.js';
import type { Standing } from '../members/standing.js';
import type { Challenges } from './challenges.js';
import { welcome, type Connection } from './connection.js';
import type { Directory } from './directory.js';
import type { Session } from './session.js';

export interface SessionsComponents {
  readonly directory: Directory;
  readonly challenges: Challenges;
  readonly admission: Admission;
  readonly random: (bytes: number) => Uint8Array;
  /** Called when the runtime has closed its session. Resolves when its addresses are released. */
  readonly onEnded: (session: Session) => Promise<void>;
}

const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();

/**
 * The session manager, `mn:/session`. It opens, resumes and closes sessions.
 * @see docs/protocol.md, "Message-node session"
 */
export class Sessions {
  readonly #directory: Directory;
  readonly #challenges: Challenges;
  readonly #admission: Admission;
  readonly #random: (bytes: number) => Uint8Array;
  readonly #onEnded: (session: Session) => Promise<void>;

  constructor({ directory, challenges, admission, random, onEnded }: SessionsComponents) {
    this.#directory = directory;
    this.#challenges = challenges;
    this.#admission = admission;
    this.#random = random;
    this.#onEnded = onEnded;
  }

  /** @throws ProtoflyError that is sent as the response */
  async handle(connection: Connection, request: Request): Promise<void> {
    if (request.type === 'open') return this.#open(connection, request);
    if (request.type === 're-open') return this.#resume(connection, request);
    if (request.type === 'close') return this.#close(connection, request);
    this.#current(connection);
    if (request.type !== 'ping') throw new ProtoflyError('E_MESSAGE', `the session manager has no ${request.type}`);
    void connection.answer(welcome(request));
  }

  /** Returns the session of this connection. @throws ProtoflyError `E_UNAUTHENTICATED` */
  #current(connection: Connection): Session {
    if (connection.current === undefined) throw new ProtoflyError('E_UNAUTHENTICATED', 'there is no session on this connection: open one first');
    return connection.current;
  }

  async #open(connection: Connection, request: Request): Promise<void> {
    const runtime = runtimeOf(request.from);
    if (runtime === undefined || runtime !== request.from) throw new ProtoflyError('E_MESSAGE', 'a session is opened from a runtime URL: hyperty-runtime://<domain>/<id>');
    this.#checkFree(connection, runtime);
    const standing = await this.#judge(connection, request, runtime);
    if (standing === undefined) return;
    const token = Buffer.from(this.#random(32)).toString('base64url');
    const session = await this.#directory.open({ runtime, tokenHash: hashOf(token).toString('hex'), holder: this.#admission.holderOf(standing, connection.holder), standing });
    await this.#confirm(session);
    if (connection.isClosed) return;
    this.#enter(connection, session, welcome(request, { runtimeToken: token }), 'another connection opened a session for the same runtime');
  }

  async #resume(connection: Connection, request: Request): Promise<void> {
    const runtime = parentOf(request.from);
    const token = request.from.slice(request.from.lastIndexOf('/') + 1);
    const session = runtime === undefined ? undefined : this.#directory.session(runtime);
    const expected = session === undefined ? Buffer.alloc(32) : Buffer.from(session.tokenHash, 'hex');
    if (!timingSafeEqual(hashOf(token), expected) || session === undefined) throw new ProtoflyError('E_UNAUTHENTICATED', 'no session waits with that token: open a new one');
    this.#checkFree(connection, session.runtime);
    const { tokenHash } = session;
    const standing = await this.#judge(connection, request, session.runtime);
    if (standing === undefined) return;
    await this.#directory.stand(session, standing);
    await this.#confirm(session);
    if (connection.isClosed) return;
    // Meanwhile the session may have ended, or another connection may have opened it anew.
    if (session.ended || session.tokenHash !== tokenHash) throw new ProtoflyError('E_UNAUTHENTICATED', 'no session waits with that token: open a new one');
    this.#enter(connection, session, welcome(request), 'another connection resumed the session');
  }

  /**
   * Returns what the sender's session may do. Undefined if he has gone, or has to sign a challenge first, which is his
   * answer.
   * @throws ProtoflyError as `Challenges.judge` and `Admission.judge`
   */
  async #judge(connection: Connection, request: Request, runtime: Address): Promise<Standing | undefined> {
    const judgement = await this.#challenges.judge(request, runtime);
    if (connection.isClosed) return undefined;
    if ('claim' in judgement) {
      const standing = await this.#admission.judge(runtime, judgement.claim);
      return connection.isClosed ? undefined : standing;
    }
    void connection.answer(respond(request, 401, { challenge: judgement.challenge, error: 'E_UNAUTHENTICATED', description: 'sign the challenge with the runtime\'s key, and ask again with body.identity' }, SESSION));
    return undefined;
  }

  /** Ends a session whose user was removed while it was being opened. @throws ProtoflyError `E_NOT_MEMBER` */
  async #confirm(session: Session): Promise<void> {
    try {
      this.#admission.confirm(session.standing, session.runtime);
    } catch (thrown) {
      await this.#onEnded(session);
      throw thrown;
    }
  }

  async #close(connection: Connection, request: Request): Promise<void> {
    const session = this.#current(connection);
    await this.#onEnded(session);
    void connection.answer(welcome(request));
    void connection.link.close('the session was closed by its runtime');
  }

  /**
   * Makes the connection the carrier of a session. Sends the response first, then the queued messages.
   * @param reason the reason to close the previous connection
   */
  #enter(connection: Connection, session: Session, answer: Response, reason: string): void {
    const before = session.attach(connection);
    this.#directory.move(session, this.#admission.holderOf(session.standing, connection.holder));
    connection.bind(session);
    void before?.close(reason);
    void connection.answer(answer);
    session.flush();
  }

  #checkFree(connection: Connection, runtime: Address): void {
    const other = connection.current;
    if (other !== undefined && other.runtime !== runtime) throw new ProtoflyError('E_CONFLICT', `this connection has a session of ${other.runtime}`);
  }
}
