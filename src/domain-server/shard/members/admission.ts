import { admissionAddress, devicesAddress, domainOf, isAddress, namesKey, parseAddress, ProtoflyError, recipientsOf, runtimeOf, type Address, type Clock, type Message, type RegistryRecord } from '../../../protocol/index.js';
import { checkCertificateDate, readCertificate, type Certificate } from '../../../security/certificate.js';
import type { Member, Members } from './members.js';
import { ANYBODY, type Standing } from './standing.js';

/** The kinds of admission: everybody comes in, or those who were invited. */
export type AdmissionMode = 'open' | 'invite';

export interface AdmissionComponents {
  readonly clock: Clock;
  readonly members: Members;
  /** Called with the runtimes that a certificate says are no longer its user's. They may be another user's. */
  readonly onRemoved: (user: Address, runtimes: readonly Address[]) => Promise<void>;
  /** Called with the former user when his name was given to another key. */
  readonly onTakenOver: (user: Address) => Promise<void>;
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

/** True if a certificate is for a runtime that its user has removed. */
const isRemoved = (member: Member | undefined, { userKey, runtime }: Certificate): boolean =>
  member?.key === userKey && member.removedRuntimes.some((id) => runtime.endsWith(`/${id}`));

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
    // Runtimes without a key get this far only if the operator lets them in.
    if (!namesKey(runtime) || this.mode === 'open' && (certificate === undefined || isVisitor) || isVisitor && this.#init.allowVisitors) return ANYBODY;
    if (isVisitor) throw new ProtoflyError('E_NOT_MEMBER', `${this.#init.domain} lets in nobody from other domains`, { hint: 'its operator does so with domain start --allow-visitors' });
    if (certificate !== undefined) return this.#user(await readCertificate(certificate, runtime), invite);
    if (device !== undefined) return { as: 'device', of: this.#runtimeIn(device) };
    throw new ProtoflyError('E_NOT_MEMBER', `${this.#init.domain} lets in nobody but its users`, { hint: 'ask its operator for an invitation: protofly runtime start --invite STRING' });
  }

  /**
   * Checks that a standing, which was judged before a wait, still holds: the user may have been removed meanwhile.
   * @throws ProtoflyError `E_NOT_MEMBER`
   */
  confirm(standing: Standing, runtime: Address): void {
    if (standing.as !== 'user') return;
    const member = this.#components.members.get(standing.user);
    if (member?.key === standing.userKey && member.removed === undefined && !member.removedRuntimes.some((id) => runtime.endsWith(`/${id}`))) return;
    throw new ProtoflyError('E_NOT_MEMBER', `${runtime} belongs to no user of this domain any more`);
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
   * Checks that a runtime may register a hyperty as a user's: only a user's runtime may, with a certificate by his key. A
   * domain that lets in clients without a key has them use names that belong to no key.
   * @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE`, `E_NOT_MEMBER`
   */
  async checkRecord({ user, runtime, certificate }: RegistryRecord, standing: Standing = ANYBODY): Promise<void> {
    const shown = certificate === undefined ? undefined : await readCertificate(certificate, runtime);
    this.confirm(standing, runtime);
    if (shown !== undefined && (standing.as !== 'user' || shown.user !== user || shown.userKey !== standing.userKey)) throw new ProtoflyError('E_CERTIFICATE', `the certificate of ${runtime} in its record is another than that of its session`);
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
    if (certificate.removed.length > 0) {
      await members.removeRuntimes(certificate);
      await onRemoved(user, certificate.removed.map((id) => parseAddress(`hyperty-runtime://${this.#init.domain}/${id}`)));
    }
    return { as: 'user', user, userKey, until: Date.parse(expires) };
  }

  async #member(certificate: Certificate, invite: unknown): Promise<void> {
    const { members, onTakenOver } = this.#components;
    if (typeof invite === 'string' && invite.length <= MAX_TOKEN) {
      if (isRemoved(members.get(certificate.user), certificate)) members.known(certificate);
      const former = await members.redeem(invite, certificate);
      if (former !== undefined) await onTakenOver(former);
    } else if (members.known(certificate) === undefined) {
      if (this.mode !== 'open') throw new ProtoflyError('E_NOT_MEMBER', `${certificate.user} is no user of ${this.#init.domain}`, { hint: 'ask its operator for an invitation: protofly runtime start --invite STRING' });
      await members.add(certificate);
    }
  }

  #runtimeIn(device: unknown): Address {
    const runtime = isAddress(device) ? runtimeOf(parseAddress(device)) : undefined;
    if (runtime === undefined || runtime !== device || domainOf(runtime) !== this.#init.domain) throw new ProtoflyError('E_CERTIFICATE', 'the claim names no runtime of this domain to ask for a certificate');
    return runtime;
  }
}
