import {
  asProtoflyError, catalogueAddress, domainOf, FRAMINGS,
  type Address, type ConnectionDescription, type ConnectionValue, type DataObserver, type DataReporter, type IceCandidate, type Invitation, type Syncher,
} from '../../protocol/index.js';
import { candidatesIn } from './controller.js';
import type { Log } from './framing.js';

/** Returns the schema address of Connection objects, in a runtime's own domain. */
export const connectionSchema = (runtime: Address): string => catalogueAddress(domainOf(runtime), 'dataschema', 'Connection');

export interface SignallingComponents {
  readonly syncher: Syncher;
  readonly log: Log;
}

export interface SignallingInit {
  readonly runtime: Address;
  readonly generation: number;
  /** The stub that is invited to observe our object. */
  readonly peer: Address;
  /** Called with candidates of the other side. */
  readonly onCandidates: (candidates: unknown) => void;
  /** Called when the other side has our answer. */
  readonly onAnswered?: () => void;
  /** The other side has refused the connection with `code`, or ended its object. */
  readonly onRefused: (reason: string, code?: number) => void;
}

/** State of our object. What has to go into it waits until it is made. */
type Own =
  | { readonly kind: 'unpublished'; readonly candidates: readonly IceCandidate[]; readonly isAnswered: boolean }
  | { readonly kind: 'published'; readonly reporter: DataReporter }
  | { readonly kind: 'closed' };

/** The two Connection objects of one set-up: ours, which we report, and the other side's, which we observe. */
export class Signalling {
  readonly #components: SignallingComponents;
  readonly #init: SignallingInit;
  #own: Own = { kind: 'unpublished', candidates: [], isAnswered: false };
  #observer: DataObserver | undefined;

  constructor(components: SignallingComponents, init: SignallingInit) {
    this.#components = components;
    this.#init = init;
  }

  /** Creates our object and invites the other side. @throws ProtoflyError with the code of the domain's refusal */
  async publish(type: ConnectionDescription['type'], sdp: string): Promise<void> {
    const { runtime, generation, peer } = this.#init;
    const value: ConnectionValue = {
      name: `${type} ${String(generation)}`,
      runtime,
      status: 'created',
      connectionDescription: { type, sdp },
      iceCandidates: candidatesIn(sdp),
      generation,
      framings: FRAMINGS,
    };
    const reporter = await this.#components.syncher.create(connectionSchema(runtime), [peer], { ...value }, (_observer, code, description) => {
      if (code >= 300) this.#init.onRefused(`refused with ${String(code)}${description === undefined ? '' : `: ${description}`}`, code);
    });
    const own = this.#own;
    if (own.kind !== 'unpublished') {
      await reporter.delete();
      return;
    }
    this.#own = { kind: 'published', reporter };
    for (const candidate of own.candidates) this.addLocal(candidate);
    if (own.isAnswered) this.tellAnswered();
  }

  /** Signals to the other side that we have its answer. */
  tellAnswered(): void {
    const own = this.#own;
    if (own.kind === 'published') own.reporter.update({ attribute: 'status', value: 'in-progress' });
    else if (own.kind === 'unpublished') this.#own = { ...own, isAnswered: true };
  }

  /** Sends the other side a candidate that was found later. */
  addLocal(candidate: IceCandidate): void {
    const own = this.#own;
    if (own.kind === 'unpublished') this.#own = { ...own, candidates: [...own.candidates, candidate] };
    else if (own.kind === 'published') own.reporter.update({ attribute: 'iceCandidates', attributeType: 'array', operation: 'add', value: [candidate] });
  }

  /** Observes the other side's object. If that fails, the set-up can still succeed without late candidates. */
  async observe(invitation: Invitation): Promise<void> {
    try {
      const observer = await invitation.accept();
      if (this.#isClosed) {
        observer.unsubscribe();
        return;
      }
      this.#observer = observer;
      observer.onChange(({ attribute, value }) => {
        if (attribute === 'iceCandidates') this.#init.onCandidates(value);
        else if (attribute === 'status' && value !== 'created') this.#init.onAnswered?.();
      });
      observer.onDelete(() => {
        if (!this.#isClosed) this.#init.onRefused('ended by the other side');
      });
      this.#init.onCandidates(observer.data['iceCandidates']);
      if (observer.data['status'] !== 'created') this.#init.onAnswered?.();
    } catch (thrown) {
      this.#components.log('info', `cannot observe ${invitation.url}: ${asProtoflyError(thrown).message}`);
    }
  }

  /** Ends both objects. Idempotent. */
  close(): void {
    const own = this.#own;
    this.#own = { kind: 'closed' };
    if (own.kind === 'closed') return;
    this.#observer?.unsubscribe();
    if (own.kind === 'unpublished') return;
    own.reporter.delete().catch((thrown: unknown) => {
      this.#components.log('debug', `the Connection object was not deleted: ${asProtoflyError(thrown).message}`);
    });
  }

  get #isClosed(): boolean {
    return this.#own.kind === 'closed';
  }
}
