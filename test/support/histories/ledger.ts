import { idsOf, outcomeOf, type MessageId, type Outcome, type Response } from '../../../src/protocol/index.js';
import type { Disk } from './disk.js';
import type { Machine } from './machine.js';
import type { RuntimeName } from './settings.js';

/** What a program hears of a message. */
export interface Answer {
  readonly state: Outcome['state'];
  readonly code: number;
  readonly at: number;
}

/** A program has declared a message taken. */
export interface Take {
  readonly at: number;
  /** Which life of the receiver's runtime that was. */
  readonly life: number;
  /** How many takes came before, of all messages. */
  readonly place: number;
}

/** One message that a program has sent, and all that became of it. */
export interface Sent {
  /** Its value, and its place among all. */
  readonly n: number;
  readonly id: MessageId;
  readonly by: RuntimeName;
  readonly to: RuntimeName;
  /** Which life of the sender's runtime that was. */
  readonly life: number;
  readonly store: boolean;
  /** Whether its sender wants a receipt. */
  readonly asks: boolean;
  /** In seconds. */
  readonly ttl: number | undefined;
  readonly at: number;
  readonly answers: Answer[];
  readonly takes: Take[];
  /** When a carrier got it first. */
  givenAt: number | undefined;
  /** Since when it could have been given to a carrier, and wasn't. */
  idleSince: number | undefined;
  /** Its sender was killed before it had heard of it. */
  isOrphan: boolean;
  /** Its sender's runtime was killed, and may not have been able to note that the domain keeps it: the next life may overtake it. */
  isUnnoted: boolean;
  /** It may be taken again, and why. */
  excuse: string | undefined;
  /** How its receiver's runtime refused it. */
  readonly refusals: number[];
}

export type NewlySent = Pick<Sent, 'id' | 'by' | 'to' | 'life' | 'store' | 'asks' | 'ttl'>;

/** A receiver writes down what was taken up to so many milliseconds late (docs/protocol.md, FLW-5). */
export const POSITION_MS = 50;
/** Within so many milliseconds after a disk works again, what couldn't be written is there. */
const DISK_RETRY_MS = 1000;

/** Keeps the books of a history: what was sent, heard and taken, and what was seen to be wrong at once. */
export class Ledger {
  readonly #now: () => number;
  readonly sent: Sent[] = [];
  /** What is wrong already. */
  readonly faults: string[] = [];
  /** Is told what happens, line by line. */
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #began: number;
  #takes = 0;
  /** How far machines' dates were moved, and how long they slept or stopped. */
  readonly #shifts: { readonly at: number; readonly by: number }[] = [];

  constructor({ now, onLine }: { readonly now: () => number; readonly onLine: ((line: string) => void) | undefined }) {
    this.#now = now;
    this.#onLine = onLine;
    this.#began = now();
  }

  /** @param text is asked for only where somebody listens */
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

  /** A program of one life of a runtime hears a response. It waits for no more when it has heard how its message ended. */
  heard(by: RuntimeName, life: number, to: RuntimeName, response: Response): void {
    const { state } = outcomeOf(response);
    const { code } = response.body;
    for (const id of idsOf(response)) {
      // Of several with one id nobody can say which is meant.
      const waiting = this.sent.filter((one) => one.id === id && one.by === by && one.life === life && one.to === to && one.answers.every((answer) => answer.state === 'queued'));
      const about = state === 'queued' ? waiting.find(({ answers }) => answers.length === 0) : waiting[0];
      this.note(() => `${by} hears of ${about === undefined ? `id ${String(id)}, for which nobody waits` : `#${String(about.n)}`}: ${state} (${String(code)})`);
      about?.answers.push({ state, code, at: this.#now() });
    }
  }

  /** A receiver's runtime refuses a message. */
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

  /** A receiver's runtime is killed: what it took just before may be taken again. */
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

  /** A sender's runtime is killed: its programs hear nothing more. @param disk what it could note there of mail at the domain is all that its next life knows */
  orphaned(by: RuntimeName, life: number, disk: Disk): void {
    for (const sent of this.sent) {
      if (sent.by !== by || sent.life !== life) continue;
      sent.isOrphan ||= sent.answers.length === 0;
      const told = sent.answers.find(({ state }) => state === 'queued')?.at;
      sent.isUnnoted ||= told !== undefined && disk.goodFor(told, this.#now()) < this.#now() - told;
    }
  }

  /** A machine's date was moved, or its time stood still. */
  shifted(by: number): void {
    this.#shifts.push({ at: this.#now(), by: Math.abs(by) });
  }

  /** By how much machines may differ in how old a message is. */
  shiftsSince(at: number): number {
    return this.#shifts.reduce((sum, shift) => (shift.at >= at ? sum + shift.by : sum), 0);
  }
}
