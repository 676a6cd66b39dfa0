import { idsOf, outcomeOf, type MessageId, type Outcome, type Response } from '../../../src/protocol/index.js';
import type { Disk } from './disk.js';
import type { Machine } from './machine.js';
import type { RuntimeName } from './settings.js';

/** An answer that a program gets to a message. */
export interface Answer {
  readonly state: Outcome['state'];
  readonly code: number;
  readonly at: number;
}

/** The moment at which a program declared a message taken. */
export interface Take {
  readonly at: number;
  /** Number of the receiver's process. */
  readonly life: number;
  /** Number of earlier takes, of all messages. */
  readonly place: number;
}

/** One message that a program has sent, and everything known of it. */
export interface Sent {
  /** Its value, and its position among all. */
  readonly n: number;
  readonly id: MessageId;
  readonly by: RuntimeName;
  readonly to: RuntimeName;
  /** Number of the sender's process. */
  readonly life: number;
  readonly store: boolean;
  /** True if its sender wants a receipt. */
  readonly asks: boolean;
  /** In seconds. */
  readonly ttl: number | undefined;
  readonly at: number;
  readonly answers: Answer[];
  readonly takes: Take[];
  /** Time at which a carrier first got it. */
  givenAt: number | undefined;
  /** Time since which it could have been given to a carrier, and wasn't. */
  idleSince: number | undefined;
  /** True if its sender was killed before it got an answer. */
  isOrphan: boolean;
  /**
   * True if its sender's runtime was killed, perhaps before it noted that the domain keeps the message. The
   * next process may overtake it.
   */
  isUnnoted: boolean;
  /** The reason why it may be taken again, if there is one. */
  excuse: string | undefined;
  /** Status codes with which its receiver's runtime refused it. */
  readonly refusals: number[];
}

export type NewlySent = Pick<Sent, 'id' | 'by' | 'to' | 'life' | 'store' | 'asks' | 'ttl'>;

/** A receiver stores the takes up to this many milliseconds late (docs/protocol.md, FLW-5). */
export const POSITION_MS = 50;
/** Time after a disk's repair within which failed writes are repeated, in milliseconds. */
const DISK_RETRY_MS = 1000;

/** Records a history: messages sent, answered and taken, and faults that show at once. */
export class Ledger {
  readonly #now: () => number;
  readonly sent: Sent[] = [];
  /** Faults found so far. */
  readonly faults: string[] = [];
  /** Called with each line of the trace. */
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #began: number;
  #takes = 0;
  /** Shifts of machines' dates, and times for which they slept or stopped. */
  readonly #shifts: { readonly at: number; readonly by: number }[] = [];

  constructor({ now, onLine }: { readonly now: () => number; readonly onLine: ((line: string) => void) | undefined }) {
    this.#now = now;
    this.#onLine = onLine;
    this.#began = now();
  }

  /** @param text evaluated only if there is a listener */
  note(text: () => string): void {
    this.#onLine?.(`${((this.#now() - this.#began) / 1000).toFixed(2).padStart(9)} s  ${text()}`);
  }

  fault(text: string): void {
    if (this.faults.includes(text)) return;
    this.note(() => `FAULT: ${text}`);
    this.faults.push(text);
  }

  add(message: NewlySent): Sent {
    const sent: Sent = {
      ...message, n: this.sent.length + 1, at: this.#now(), answers: [], takes: [], refusals: [],
      givenAt: undefined, idleSince: undefined, isOrphan: false, isUnnoted: false, excuse: undefined,
    };
    this.sent.push(sent);
    return sent;
  }

  of(n: unknown): Sent | undefined {
    return typeof n === 'number' ? this.sent[n - 1] : undefined;
  }

  /** Records a response that a program of one process gets. It expects no more once it knows its message's final outcome. */
  heard(by: RuntimeName, life: number, to: RuntimeName, response: Response): void {
    const { state } = outcomeOf(response);
    const { code } = response.body;
    for (const id of idsOf(response)) {
      // If several messages share one id, it is unknown which one is meant.
      const waiting = this.sent.filter((one) => one.id === id && one.by === by && one.life === life && one.to === to && one.answers.every((answer) => answer.state === 'queued'));
      const about = state === 'queued' ? waiting.find(({ answers }) => answers.length === 0) : waiting[0];
      this.note(() => `${by} hears of ${about === undefined ? `id ${String(id)}, for which nobody waits` : `#${String(about.n)}`}: ${state} (${String(code)})`);
      about?.answers.push({ state, code, at: this.#now() });
    }
  }

  /** Records a refusal by a receiver's runtime. */
  refused(by: RuntimeName, to: RuntimeName, response: Response): void {
    this.note(() => `${to} refuses id ${String(response.id)}: ${String(response.body.code)}`);
    for (const one of this.sent) if (one.id === response.id && one.by === by && one.to === to) one.refusals.push(response.body.code);
  }

  taken(n: number, life: number): void {
    const sent = this.of(n);
    this.note(() => `taken: #${String(n)}`);
    if (sent === undefined) { this.fault(`#${String(n)} was taken and never sent`); return; }
    sent.takes.push({ at: this.#now(), life, place: this.#takes });
    this.#takes += 1;
  }

  /** Records that a receiver's runtime was killed: messages taken just before may be taken again. */
  killed(receiver: RuntimeName, life: number, { disk, machine }: { readonly disk: Disk; readonly machine: Machine }): void {
    const now = this.#now();
    for (const sent of this.sent) {
      const last = sent.takes.at(-1);
      if (sent.to !== receiver || last?.life !== life) continue;
      const due = last.at + POSITION_MS;
      const isWritten = due < now && (disk.goodFor(last.at, due) === POSITION_MS || disk.goodFor(last.at, now) >= DISK_RETRY_MS);
      // Timers of a machine that stood still are late.
      const isLate = machine.isStopped || (machine.disturbedAt >= last.at && machine.disturbedAt + 2 * POSITION_MS > now);
      if (!isWritten || isLate) sent.excuse = 'taken just before its receiver was killed';
    }
  }

  /**
   * Records that a sender's runtime was killed: its programs get no more answers.
   * @param disk holds all that its next process knows of mail at the domain
   */
  orphaned(by: RuntimeName, life: number, disk: Disk): void {
    for (const sent of this.sent) {
      if (sent.by !== by || sent.life !== life) continue;
      sent.isOrphan ||= sent.answers.length === 0;
      const told = sent.answers.find(({ state }) => state === 'queued')?.at;
      sent.isUnnoted ||= told !== undefined && disk.goodFor(told, this.#now()) < this.#now() - told;
    }
  }

  /** Records a shift of a machine's date or steady time. */
  shifted(by: number): void {
    this.#shifts.push({ at: this.#now(), by: Math.abs(by) });
  }

  /** Returns by how much machines may disagree on a message's age, in milliseconds. */
  shiftsSince(at: number): number {
    return this.#shifts.reduce((sum, shift) => (shift.at >= at ? sum + shift.by : sum), 0);
  }
}
