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
  /** Called with later candidates of the other side. */
  readonly onCandidates: (candidates: unknown) => void;
  /** Called when the other side has our answer. */
  readonly onAnswered?: () => void;
  /** Called when the other side refused the connection with `code`, or ended its object. */
  readonly onRefused: (reason: string, code?: number) => void;
}

/** The two Connection objects of one set-up: we report ours and observe the other side's. */
export class Signalling {
  readonly #components: SignallingComponents;
  readonly #init: SignallingInit;
  #reporter: DataReporter | undefined;
  #observer: DataObserver | undefined;
  #late: IceCandidate[] = [];
  #answered = false;
  #closed = false;

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
    if (this.#closed) {
      await reporter.delete();
      return;
    }
    this.#reporter = reporter;
    for (const candidate of this.#late.splice(0)) this.addLocal(candidate);
    if (this.#answered) this.tellAnswered();
  }

  /** Signals to the other side that we have its answer. */
  tellAnswered(): void {
    this.#answered = true;
    if (!this.#closed) this.#reporter?.update({ attribute: 'status', value: 'in-progress' });
  }

  /** Sends the other side a candidate that was found later. */
  addLocal(candidate: IceCandidate): void {
    if (this.#closed) return;
    if (this.#reporter === undefined) this.#late.push(candidate);
    else this.#reporter.update({ attribute: 'iceCandidates', attributeType: 'array', operation: 'add', value: [candidate] });
  }

  /** Observes the other side's object. If that fails, the set-up can still succeed; only late candidates are missed. */
  async observe(invitation: Invitation): Promise<void> {
    try {
      const observer = await invitation.accept();
      if (this.#closed) {
        observer.unsubscribe();
        return;
      }
      this.#observer = observer;
      observer.onChange(({ attribute, value }) => {
        if (attribute === 'iceCandidates') this.#init.onCandidates(value);
        else if (attribute === 'status' && value !== 'created') this.#init.onAnswered?.();
      });
      observer.onDelete(() => {
        if (!this.#closed) this.#init.onRefused('ended by the other side');
      });
      this.#init.onCandidates(observer.data['iceCandidates']);
      if (observer.data['status'] !== 'created') this.#init.onAnswered?.();
    } catch (thrown) {
      this.#components.log('info', `cannot observe ${invitation.url}: ${asProtoflyError(thrown).message}`);
    }
  }

  /** Ends both objects. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#observer?.unsubscribe();
    this.#reporter?.delete().catch((thrown: unknown) => {
      this.#components.log('debug', `the Connection object was not deleted: ${asProtoflyError(thrown).message}`);
    });
  }
}
