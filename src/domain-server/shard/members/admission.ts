import { admissionAddress, devicesAddress, domainOf, isAddress, namesKey, parseAddress, ProtoflyError, recipientsOf, runtimeOf, type Address, type Clock, type Message, type RegistryRecord } from '../../../protocol/index.js';
import { checkCertificateDate, readCertificate, type Certificate } from '../../../security/certificate.js';
import type { Members } from './members.js';
import { ANYBODY, type Standing } from './standing.js';

/** Whom a domain admits: everybody, or those who were invited. */
export type AdmissionMode = 'open' | 'invite';

export interface AdmissionComponents {
  readonly clock: Clock;
  readonly members: Members;
  /** Called when a user has removed runtimes, which may be another user's. */
  readonly onRemoved: (user: Address, runtimes: readonly Address[]) => Promise<void>;
}

export interface AdmissionInit {
  readonly domain: string;
  readonly mode: AdmissionMode;
  /** True to let in runtimes whose URL names no key. */
  readonly allowUnauthenticated: boolean;
  /** True to let in the runtimes of other domains, whose users can't be checked here. */
  readonly allowVisitors: boolean;
}

/** The part of a session's claim that says whose runtime it is. */
export interface Introduction {
  readonly certificate?: unknown;
  readonly invite?: unknown;
  readonly device?: unknown;
}

const MAX_TOKEN = 256;

/** Decides what the session of a runtime may do. @see docs/protocol.md, IDN-8 */
export class Admission {
  readonly mode: AdmissionMode;
  /** Address of the function at which a session shows another certificate. */
  readonly address: Address;
  readonly #components: AdmissionComponents;
  readonly #init: AdmissionInit;

  constructor(components: AdmissionComponents, init: AdmissionInit) {
    this.#components = components;
    this.#init = init;
    this.mode = init.mode;
    this.address = admissionAddress(init.domain);
  }

  /**
   * Judges the runtime that opens or resumes a session, once it has proved that it has its key.
   * @throws ProtoflyError `E_NOT_MEMBER`, `E_INVITE`, `E_NAME_TAKEN`, `E_REMOVED`, `E_CERTIFICATE`, `E_SIGNATURE`, `E_EXPIRED`
   */
  async judge(runtime: Address, { certificate, invite, device }: Introduction): Promise<Standing> {
    const isVisitor = domainOf(runtime) !== this.#init.domain;
    // Who has no key got here because the operator lets such clients in.
    if (!namesKey(runtime) || this.mode === 'open' && (certificate === undefined || isVisitor) || isVisitor && this.#init.allowVisitors) return ANYBODY;
    if (isVisitor) throw new ProtoflyError('E_NOT_MEMBER', `${this.#init.domain} lets in nobody from other domains`, { hint: 'its operator does so with domain start --allow-visitors' });
    if (certificate !== undefined) return this.#user(await readCertificate(certificate, runtime), invite);
    if (device !== undefined) return { as: 'device', of: this.#runtimeIn(device) };
    throw new ProtoflyError('E_NOT_MEMBER', `${this.#init.domain} lets in nobody but its users`, { hint: 'ask its operator for an invitation: protofly runtime start --invite STRING' });
  }

  /** Returns the reason why a session may not send a message; undefined if it may. */
  refusalOf(standing: Standing, message: Message): ProtoflyError | undefined {
    if (standing.as === 'anybody' || standing.as === 'user' && standing.until > this.#components.clock.date()) return undefined;
    const to = recipientsOf(message);
    if (to.every((address) => address === this.address)) return undefined;
    if (standing.as === 'user') return new ProtoflyError('E_EXPIRED', `the certificate of this runtime for ${standing.user} has expired`);
    return to.every((address) => address === devicesAddress(standing.of)) ? undefined : new ProtoflyError('E_NOT_MEMBER', `this runtime may only ask ${standing.of} for its certificate`);
  }

  /**
   * Checks that a runtime may register a hyperty as a user's: only a user's runtime may. A domain that lets in clients
   * without a key has them use names that belong to no key.
   * @throws ProtoflyError `E_CERTIFICATE`
   */
  checkUser({ user, runtime }: RegistryRecord, standing: Standing = ANYBODY): void {
    if (user === undefined || standing.as === 'user' && standing.user === user) return;
    const isOfAnother = domainOf(user) === this.#init.domain && this.#components.members.get(user) !== undefined;
    if (standing.as !== 'user' && this.#init.allowUnauthenticated && !isOfAnother) return;
    throw new ProtoflyError('E_CERTIFICATE', `${runtime} has not shown that it belongs to ${user}`, { hint: 'its session has to be opened with a certificate of that user' });
  }

  /** Returns the party whose shares a session uses: its user if users are invited, or else its remote address. */
  holderOf(standing: Standing, remote: string | undefined): string | undefined {
    return this.mode === 'invite' && standing.as === 'user' ? standing.user : remote;
  }

  async #user(certificate: Certificate, invite: unknown): Promise<Standing> {
    const { members, clock, onRemoved } = this.#components;
    const { user, userKey, expires } = certificate;
    if (domainOf(user) !== this.#init.domain) throw new ProtoflyError('E_CERTIFICATE', `${user} is a user of another domain`);
    checkCertificateDate(certificate, clock.date());
    await this.#member(certificate, invite);
    const removed = await members.removeRuntimes(certificate);
    if (removed.length > 0) await onRemoved(user, removed.map((id) => parseAddress(`hyperty-runtime://${this.#init.domain}/${id}`)));
    return { as: 'user', user, userKey, until: Date.parse(expires) };
  }

  async #member(certificate: Certificate, invite: unknown): Promise<void> {
    const { members } = this.#components;
    const isInvited = typeof invite === 'string' && invite.length <= MAX_TOKEN;
    try {
      if (members.known(certificate) !== undefined) return;
    } catch (thrown) {
      // An invitation is for a new key, too.
      if (!isInvited || !(thrown instanceof ProtoflyError) || thrown.code === 'E_REMOVED') throw thrown;
    }
    if (isInvited) await members.redeem(invite, certificate);
    else if (this.mode === 'open') await members.add(certificate);
    else throw new ProtoflyError('E_NOT_MEMBER', `${certificate.user} is no user of ${this.#init.domain}`, { hint: 'ask its operator for an invitation: protofly runtime start --invite STRING' });
  }

  #runtimeIn(device: unknown): Address {
    const runtime = isAddress(device) ? runtimeOf(parseAddress(device)) : undefined;
    if (runtime === undefined || runtime !== device || domainOf(runtime) !== this.#init.domain) throw new ProtoflyError('E_CERTIFICATE', 'the claim names no runtime of this domain to ask for a certificate');
    return runtime;
  }
}
