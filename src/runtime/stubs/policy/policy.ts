import type { Descriptor } from '../../../protocol/descriptor.js';
import { CAPABILITIES, ProtoflyError, type Allowance, type Capability, type TrustedKey } from '../../../protocol/index.js';

/** The owner's rules for stubs. */
export interface StubPolicy {
  /** @default 'any' */
  readonly allow?: Allowance;
  /** Capabilities that stubs may be granted. @default all */
  readonly capabilities?: readonly Capability[];
}

/** Returns the capabilities that a descriptor asks for. */
export const wantedBy = ({ constraints }: Descriptor): Capability[] => CAPABILITIES.filter((capability) => constraints[capability] === true);

/** Decides whether a package with a valid signature may be deployed. */
export class DeploymentPolicy {
  readonly allow: Allowance;
  readonly capabilities: readonly Capability[];
  readonly #ownDomain: string;

  constructor({ allow = 'any', capabilities = CAPABILITIES }: StubPolicy, { ownDomain }: { readonly ownDomain: string }) {
    this.allow = allow;
    this.capabilities = capabilities;
    this.#ownDomain = ownDomain;
  }

  /** Checks that a key's publisher is allowed. @param what names the package in the error @throws ProtoflyError `E_POLICY` */
  checkPublisher({ domain, keyId, byHand }: TrustedKey, what: string): void {
    if (this.allow === 'any' || (this.allow === 'trusted' && (byHand || domain === this.#ownDomain))) return;
    if (this.allow === 'built-in') {
      throw new ProtoflyError('E_POLICY', `${what} is not deployed: only stubs that come with the installation are`, { hint: 'see protofly config get stubs' });
    }
    throw new ProtoflyError('E_POLICY', `${what} is signed by the key ${keyId} of ${domain}, a publisher that nobody has added`, { hint: `add it: protofly catalogue trust add ${domain} ${keyId}` });
  }

  /** Checks that a stub asks for no more than is granted. @throws ProtoflyError `E_POLICY` */
  checkCapabilities(descriptor: Descriptor, what: string): void {
    const refused = wantedBy(descriptor).filter((capability) => !this.capabilities.includes(capability));
    if (refused.length > 0) {
      throw new ProtoflyError('E_POLICY', `${what} asks for ${refused.join(' and ')}, which stubs aren't granted here`, { hint: 'see protofly config get capabilities' });
    }
  }
}
