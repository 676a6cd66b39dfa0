import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import type { Side } from './network.js';
import { USER, type Parties } from './parties.js';

export interface TrafficSpec {
  /** How many numbered messages. */
  readonly count: number;
  /** In how much time they are handed to the sender, in milliseconds. */
  readonly spanMs: number;
  /** What each message holds besides its number, in bytes. @default 0 */
  readonly padding?: number;
  /** The reader takes 64 KiB and then rests for so long, in milliseconds. @default 0 */
  readonly restMs?: number;
  /** A sender that ends early is started again with what it has no receipt for. @default false */
  readonly retry?: boolean;
  /** Sends with `--store`: what is kept on disk counts as acknowledged. @default false */
  readonly store?: boolean;
}

export interface Tally {
  readonly sent: number;
  readonly received: number;
  /** Neither received, nor did its sender hear that it wasn't. */
  readonly lost: number;
  readonly repeated: number;
  readonly reordered: number;
  /** Not received, and its sender was told so. */
  readonly refused: number;
  /** The longest time between two receipts, in milliseconds. */
  readonly stoodStillMs: number;
  readonly seconds: number;
  /** The ways that messages took, one after the other. */
  readonly stretches: readonly { readonly via: string; readonly count: number }[];
  /** What the senders said when they ended with something else than 0. */
  readonly senderErrors: readonly string[];
}

/** How long messages may take that have receipts and are not read yet, in milliseconds; those on somebody's disk longest. */
const DELIVERED_MS = 60_000;

/** Calls back for each whole line of a child's stdout. @param restMs after each piece that was read */
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

/** Numbered messages from one site to the other, through pipes of the real program, and what became of them. */
export class Traffic {
  readonly #received: number[] = [];
  /** Numbers that a receipt says are delivered, or kept. */
  readonly #acknowledged = new Set<number>();
  /** Numbers that a receipt says are not delivered. */
  readonly #refused = new Set<number>();
  /** Numbers that were sent more than once, because a sender ended before their receipts came. */
  readonly #retried = new Set<number>();
  readonly #stretches: { via: string; count: number }[] = [];
  readonly #senderErrors: string[] = [];
  readonly #waiting: { readonly receipts: number; readonly resolve: () => void }[] = [];
  readonly #started = Date.now();
  #lastReceipt: number | undefined;
  #longestGap = 0;
  #closed = false;
  #reader: ChildProcess | undefined;

  constructor(private readonly parties: Parties, private readonly from: Side, private readonly spec: TrafficSpec) {}

  /** Sends it all. Resolves when all was received, or nothing more is to be expected. @throws Error only when interrupted */
  async run(signal: AbortSignal): Promise<Tally> {
    const interrupted = new Promise<never>((_, reject) => { signal.addEventListener('abort', () => { reject(new Error('interrupted')); }, { once: true }); });
    try {
      return await Promise.race([this.#run(), interrupted]);
    } finally {
      this.#closed = true;
    }
  }

  async #run(): Promise<Tally> {
    const reading = this.#read();
    const numbers = Array.from({ length: this.spec.count }, (_, index) => index + 1);
    await this.#send(numbers);
    for (let attempt = 0; this.spec.retry === true && !this.#closed && attempt < 20; attempt += 1) {
      const missing = numbers.filter((number) => !this.#acknowledged.has(number));
      if (missing.length === 0) break;
      for (const number of missing) this.#retried.add(number);
      await pause(250);
      await this.#send(missing);
    }
    // Receipts are sent before the reader's pipe has been read to its end.
    for (const end = Date.now() + DELIVERED_MS; !this.#closed && this.#missing() > 0 && Date.now() < end;) await pause(50);
    // Whatever comes twice comes at once.
    await pause(300);
    this.#closed = true;
    this.#reader?.kill('SIGTERM');
    await reading;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
    return this.#tally();
  }

  /** Resolves when so many receipts have come, or the traffic has ended. */
  reached(receipts: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed || this.#acknowledged.size >= receipts) resolve();
      else this.#waiting.push({ receipts, resolve });
    });
  }

  /** Reads at the other site; a reader whose runtime ended begins anew. */
  async #read(): Promise<void> {
    const to: Side = this.from === 'a' ? 'b' : 'a';
    for (let attempt = 0; !this.#closed && attempt < 200; attempt += 1) {
      const reader = this.#reader = this.parties.start(to, ['msg', 'tail', 'in', '--raw']);
      eachLine(reader, (line) => this.#received.push(Number.parseInt(line, 10)), this.spec.restMs);
      await new Promise((resolve) => { reader.once('close', resolve); });
      if (!this.#closed) await pause(100);
    }
  }

  async #send(numbers: readonly number[]): Promise<void> {
    const to = `${USER[this.from === 'a' ? 'b' : 'a']}/in`;
    const sender = this.parties.start(this.from, ['msg', 'send', to, '-', '--receipt', '--timeout', '100s', ...(this.spec.store === true ? ['--store'] : [])]);
    let said = '';
    sender.stdin!.on('error', () => undefined);
    sender.stderr!.setEncoding('utf8').on('data', (chunk: string) => { said += chunk; });
    eachLine(sender, (line) => { this.#receipt(line, numbers); });
    const ended = new Promise<number | null>((resolve) => { sender.once('close', resolve); });
    await this.#feed(sender, numbers);
    const code = await ended;
    if (code !== 0) this.#senderErrors.push(`${String(code)}: ${said.trim()}`);
  }

  async #feed({ stdin, exitCode, signalCode }: ChildProcess, numbers: readonly number[]): Promise<void> {
    const padding = ' x'.padEnd(this.spec.padding ?? 0, 'x').slice(0, this.spec.padding ?? 0);
    const steps = Math.max(1, Math.ceil(this.spec.spanMs / 20));
    const perStep = Math.ceil(this.spec.count / steps);
    for (let next = 0; next < numbers.length && exitCode === null && signalCode === null && stdin!.writable; next += perStep) {
      stdin!.write(numbers.slice(next, next + perStep).map((number) => `${String(number)}${padding}\n`).join(''));
      await pause(20);
    }
    stdin!.end();
  }

  #receipt(line: string, numbers: readonly number[]): void {
    const { id, state, stored, via = stored === undefined ? 'unknown' : `disk of the ${stored}` } = JSON.parse(line) as { id: string; state: string; via?: string; stored?: string };
    const number = numbers[Number(id.slice(id.lastIndexOf('-') + 1)) - 1];
    const isAcknowledged = state === 'delivered' || (state === 'queued' && this.spec.store === true);
    if (number === undefined) return;
    if (!isAcknowledged) { this.#refused.add(number); return; }
    const now = Date.now();
    if (this.#lastReceipt !== undefined) this.#longestGap = Math.max(this.#longestGap, now - this.#lastReceipt);
    this.#lastReceipt = now;
    this.#acknowledged.add(number);
    const last = this.#stretches.at(-1);
    if (last?.via === via) last.count += 1;
    else this.#stretches.push({ via, count: 1 });
    for (const waiting of this.#waiting) if (this.#acknowledged.size >= waiting.receipts) waiting.resolve();
  }

  /** How many were neither received nor refused. */
  #missing(): number {
    return this.spec.count - new Set([...this.#received, ...this.#refused]).size;
  }

  #tally(): Tally {
    const first: number[] = [];
    const seen = new Set<number>();
    let repeated = 0;
    for (const number of this.#received) {
      // What was sent twice because nobody knew may arrive twice.
      if (!seen.has(number)) first.push(number);
      else if (!this.#retried.has(number)) repeated += 1;
      seen.add(number);
    }
    return {
      sent: this.spec.count, received: seen.size, lost: this.#missing(), repeated,
      reordered: first.filter((number, index) => index > 0 && number < first[index - 1]!).length,
      refused: [...this.#refused].filter((number) => !seen.has(number)).length, stoodStillMs: this.#longestGap, seconds: (Date.now() - this.#started) / 1000,
      stretches: this.#stretches, senderErrors: this.#senderErrors,
    };
  }
}
