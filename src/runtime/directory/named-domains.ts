import { ProtoflyError, type Cause } from '../../protocol/index.js';

/**
 * The domains that this runtime may turn to: its own, those that its user has added, and those that a local program has
 * named in an address since the start. Nothing that comes in adds one (docs/protocol.md, STB-9).
 */
export class NamedDomains {
  readonly #names: Set<string>;

  /** @param names the own domain, and those that the user has added */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  has(domain: string): boolean {
    return this.#names.has(domain);
  }

  /** Lets this runtime turn to a domain from now on, if a program wants it. @throws ProtoflyError `E_STRANGER` */
  admit(domain: string, cause: Cause): void {
    if (cause === 'program') this.#names.add(domain);
    else if (!this.#names.has(domain)) throw strangerAt(domain);
  }
}

const strangerAt = (domain: string): ProtoflyError =>
  new ProtoflyError('E_STRANGER', `no program of this runtime has turned to the domain ${domain}`, { hint: `its user may send something there first, or: protofly domain add ${domain} URL` });
