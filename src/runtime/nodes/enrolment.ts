import type { MessageBus } from '../../bus/index.js';
import { TokenBucket } from '../../kit/token-bucket.js';
import { admissionAddress, asProtoflyError, child, devicesAddress, isResponse, ProtoflyError, respond, runtimeOf, type Address, type Clock, type Message, type Timer } from '../../protocol/index.js';
import type { CertificateRequest, UserIdentity } from '../identity/index.js';

export interface EnrolmentComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly identity: UserIdentity;
  /** Called when the certificate has changed, and the domain knows. */
  readonly onRenewed: () => void;
  readonly log: (level: 'info' | 'warn', text: string) => void;
}

export interface EnrolmentInit {
  readonly runtime: Address;
  readonly domain: string;
}

/** Interval at which the certificate's age is looked at, in milliseconds. */
const LOOK_MS = 10 * 60 * 1000;
/** Requests for certificates that are looked at: 20 at once, then 2 a second. */
const PACE = { perSecond: 2, burst: 20 };

/**
 * Keeps this runtime certified as its user's: asks the runtime that certifies it, and shows the domain each new
 * certificate. Certifies the other runtimes of the user, at `<runtime>/devices`.
 * @see docs/protocol.md, IDN-7
 */
export class Enrolment {
  readonly #components: EnrolmentComponents;
  readonly #init: EnrolmentInit;
  readonly #pace: TokenBucket;
  readonly #paceOfKnown: TokenBucket;
  #timer: Timer | undefined;
  #closed = false;
  #isEnrolled: boolean;
  /** True if the certificate has changed, and the domain hasn't seen it. */
  #isToBeShown = false;

  constructor(components: EnrolmentComponents, init: EnrolmentInit) {
    this.#components = components;
    this.#init = init;
    this.#pace = new TokenBucket(components, PACE);
    this.#paceOfKnown = new TokenBucket(components, PACE);
    this.#isEnrolled = components.identity.certificate !== undefined;
    const { bus, identity } = components;
    bus.addListener(devicesAddress(init.runtime), async (message) => {
      if (isResponse(message)) return;
      const certificate = await identity.certify(...await this.#asked(message));
      void bus.post(respond(message, 200, { value: { certificate } }));
    });
    this.#look();
  }

  /** True if this runtime is its user's, and its domain knows. */
  get isEnrolled(): boolean {
    return this.#isEnrolled;
  }

  /** Gets the certificate that a new session needs. @throws ProtoflyError if there is none, as its issuer or the domain refuses */
  async begin(): Promise<void> {
    const { identity, log } = this.#components;
    // A new session has been shown the present certificate.
    this.#isToBeShown = false;
    if (!identity.isDue) return;
    const isKnown = identity.certificate !== undefined;
    try {
      await this.#renew();
    } catch (thrown) {
      if (!isKnown) throw thrown;
      log('warn', `the certificate of this runtime is not renewed yet: ${asProtoflyError(thrown).message}`);
    }
  }

  /** Shows the domain the present certificate. @throws ProtoflyError as the domain refuses */
  async show(): Promise<void> {
    const { bus, identity } = this.#components;
    const { runtime, domain } = this.#init;
    this.#isToBeShown = true;
    await bus.ask({ type: 'update', from: child(runtime, 'registry'), to: admissionAddress(domain), body: { value: { certificate: identity.certificate } } });
    this.#isToBeShown = false;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #renew(): Promise<void> {
    const { bus, identity } = this.#components;
    const { issuer } = identity;
    if (issuer === undefined) await identity.certifyItself();
    else {
      const { body: { value } } = await bus.ask({ type: 'create', from: this.#init.runtime, to: devicesAddress(issuer), body: { value: identity.request } });
      await identity.accept((value as { readonly certificate?: unknown } | undefined)?.certificate);
    }
    await this.show();
    this.#isEnrolled = true;
  }

  /** Returns what another runtime asks for. @throws ProtoflyError `E_MESSAGE`, `E_TOO_MANY` */
  async #asked({ type, from, body }: Message): Promise<[Address, CertificateRequest]> {
    const { name, proof } = (body?.['value'] ?? {}) as Partial<Record<keyof CertificateRequest, unknown>>;
    if (type !== 'create' || typeof name !== 'string' || (proof !== undefined && typeof proof !== 'string') || runtimeOf(from) !== from) throw new ProtoflyError('E_MESSAGE', 'a runtime asks here for its certificate, and for nothing else');
    // Strangers don't keep the user's machines from renewing theirs.
    const pace = (await this.#components.identity.knows(from)) ? this.#paceOfKnown : this.#pace;
    if (pace.level < 1) throw new ProtoflyError('E_TOO_MANY', 'too many requests for certificates');
    pace.take(1);
    return [from, { name, ...(proof === undefined ? {} : { proof }) }];
  }

  #look(): void {
    if (this.#closed) return;
    this.#timer = this.#components.clock.setTimeout(() => { void this.#lookAgain(); }, LOOK_MS);
  }

  async #lookAgain(): Promise<void> {
    const { identity, log, onRenewed } = this.#components;
    try {
      if (identity.isDue) await this.#renew();
      else if (this.#isToBeShown) await this.show();
      else return;
      onRenewed();
    } catch (thrown) {
      log('warn', `the certificate of this runtime is not renewed yet: ${asProtoflyError(thrown).message}`);
    } finally {
      this.#look();
    }
  }
}
