import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { Ledger, type Counts, type State } from './ledger.js';
import type { Side } from './network.js';
import { USER, type Parties } from './parties.js';

export interface TrafficSpec {
  /** Number of messages. */
  readonly count: number;
  /** Time in which they are handed to the sender, in milliseconds. */
  readonly spanMs: number;
  /** Size of a message besides its number, in bytes. @default 0 */
  readonly padding?: number;
  /** Pause of the reader after each 64 KiB, in milliseconds. @default 0 */
  readonly restMs?: number;
  /** Restarts a sender that ends early, with the messages that have no receipt. @default false */
  readonly retry?: boolean;
  /** Sends with `--store`: messages kept on disk count as acknowledged. @default false */
  readonly store?: boolean;
}

export interface Tally extends Counts {
  /** The longest time between two receipts, in milliseconds. */
  readonly stoodStillMs: number;
  readonly seconds: number;
  /** The paths that messages took, one after the other. */
  readonly stretches: readonly { readonly via: string; readonly count: number }[];
  /** Errors of senders that ended with an exit code other than 0. */
  readonly senderErrors: readonly string[];
}

/** Maximum time until messages with receipts are read, in milliseconds. Those on a disk take longest. */
const DELIVERED_MS = 60_000;

/** Calls back for each whole line of a child's stdout. @param restMs pause after each chunk, in milliseconds */
const eachLine = (child: ChildProcess, onLine: (line: string) => void, restMs = 0): void => {
  let rest = '';
  const stdout = child.stdout!.setEncoding('utf8');
  stdout.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(onLine);
    if (restMs === 0) return;
    stdout.pause();
    setTimeout(() => { stdout.resume(); }, restMs);
  });
};

/** Sends numbered messages from one site to the other through pipes of the real program, and records their fate. */
export class Traffic {
  readonly #parties: Parties;
  readonly #from: Side;
  readonly #spec: TrafficSpec;
  readonly #ledger: Ledger;
  readonly #stretches: { via: string; count: number }[] = [];
  readonly #senderErrors: string[] = [];
  readonly #waiting: { readonly receipts: number; readonly resolve: () => void }[] = [];
  readonly #started = Date.now();
  /** Rejects if the scenario ends early. */
  readonly #interrupted: Promise<never>;
  #lastReceipt: number | undefined;
  #lastReceived = 0;
  #longestGap = 0;
  #closed = false;
  #reader: ChildProcess | undefined;
  #reading: Promise<void> | undefined;

  constructor({ parties, signal }: { readonly parties: Parties; readonly signal: AbortSignal }, { from, spec }: { readonly from: Side; readonly spec: TrafficSpec }) {
    this.#parties = parties;
    this.#from = from;
    this.#spec = spec;
    this.#ledger = new Ledger(spec);
    this.#interrupted = new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        this.#closed = true;
        reject(new Error('interrupted'));
      }, { once: true });
    });
    this.#interrupted.catch(() => undefined);
  }

  /** The longest time between two receipts so far, in milliseconds. */
  get stoodStillMs(): number {
    return this.#longestGap;
  }

  /** Sends everything. Resolves when all was received, or nothing more can be expected. @throws Error only if interrupted */
  run(): Promise<void> {
    return Promise.race([this.#run(), this.#interrupted]);
  }

  /**
   * Reads on until nothing has come for `quietMs`, then ends the reader. Call it after `run`.
   * @throws Error only if interrupted
   */
  settle(quietMs: number): Promise<Tally> {
    return Promise.race([this.#settle(quietMs), this.#interrupted]);
  }

  /** Resolves after `receipts` receipts, or when the traffic has ended. */
  reached(receipts: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed || this.#ledger.acknowledged >= receipts) resolve();
      else this.#waiting.push({ receipts, resolve });
    });
  }

  async #run(): Promise<void> {
    this.#reading = this.#read();
    this.#reading.catch(() => undefined);
    await this.#send(this.#ledger.unacknowledged);
    for (let attempt = 0; this.#spec.retry === true && !this.#closed && attempt < 20; attempt += 1) {
      const left = this.#ledger.unacknowledged;
      if (left.length === 0) break;
      await pause(250);
      await this.#send(left);
    }
    // Receipts are sent before the reader's pipe has been read to its end.
    for (const end = Date.now() + DELIVERED_MS; !this.#closed && this.#ledger.missing > 0 && Date.now() < end;) await pause(50);
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  async #settle(quietMs: number): Promise<Tally> {
    const began = Date.now();
    for (let left = quietMs; left > 0 && !this.#closed; left = Math.max(began, this.#lastReceived) + quietMs - Date.now()) await pause(Math.min(left, 100));
    this.#closed = true;
    this.#reader?.kill('SIGTERM');
    await this.#reading;
    return {
      ...this.#ledger.counts(), stoodStillMs: this.#longestGap, seconds: (Date.now() - this.#started) / 1000,
      stretches: this.#stretches, senderErrors: this.#senderErrors,
    };
  }

  /** Reads at the other site. Restarts a reader whose runtime has ended. */
  async #read(): Promise<void> {
    for (let attempt = 0; !this.#closed && attempt < 200; attempt += 1) {
      const reader = this.#reader = this.#parties.start(this.#to, ['msg', 'tail', 'in', '--raw']);
      eachLine(reader, (line) => {
        this.#lastReceived = Date.now();
        this.#ledger.receive(Number.parseInt(line, 10));
      }, this.#spec.restMs);
      await new Promise((resolve) => { reader.once('close', resolve); });
      if (!this.#closed) await pause(100);
    }
  }

  get #to(): Side {
    return this.#from === 'a' ? 'b' : 'a';
  }

  async #send(numbers: readonly number[]): Promise<void> {
    this.#ledger.sending(numbers);
    const sender = this.#parties.start(this.#from, ['msg', 'send', `${USER[this.#to]}/in`, '-', '--receipt', '--timeout', '100s', ...(this.#spec.store === true ? ['--store'] : [])]);
    let said = '';
    sender.stdin!.on('error', () => undefined);
    sender.stderr!.setEncoding('utf8').on('data', (chunk: string) => { said += chunk; });
    eachLine(sender, (line) => { this.#receipt(line, numbers); });
    const ended = new Promise<number | null>((resolve) => { sender.once('close', resolve); });
    await this.#feed(sender, numbers);
    const code = await ended;
    if (code !== 0) this.#senderErrors.push(`${String(code)}: ${said.trim()}`);
  }

  async #feed(sender: ChildProcess, numbers: readonly number[]): Promise<void> {
    const stdin = sender.stdin!;
    const padding = ' x'.padEnd(this.#spec.padding ?? 0, 'x').slice(0, this.#spec.padding ?? 0);
    const steps = Math.max(1, Math.ceil(this.#spec.spanMs / 20));
    const perStep = Math.ceil(this.#spec.count / steps);
    for (let next = 0; next < numbers.length && sender.exitCode === null && sender.signalCode === null && stdin.writable; next += perStep) {
      stdin.write(numbers.slice(next, next + perStep).map((number) => `${String(number)}${padding}\n`).join(''));
      await pause(20);
    }
    stdin.end();
  }

  #receipt(line: string, numbers: readonly number[]): void {
    const { id, state, stored, via = stored === undefined ? 'unknown' : `disk of the ${stored}` } = JSON.parse(line) as { id: string; state: State; via?: string; stored?: string };
    const number = numbers[Number(id.slice(id.lastIndexOf('-') + 1)) - 1];
    if (number === undefined || !this.#ledger.receipt(number, state)) return;
    const now = Date.now();
    if (this.#lastReceipt !== undefined) this.#longestGap = Math.max(this.#longestGap, now - this.#lastReceipt);
    this.#lastReceipt = now;
    const last = this.#stretches.at(-1);
    if (last?.via === via) last.count += 1;
    else this.#stretches.push({ via, count: 1 });
    for (const waiting of this.#waiting) if (this.#ledger.acknowledged >= waiting.receipts) waiting.resolve();
  }
}
