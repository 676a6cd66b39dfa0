import { ProtoflyError, systemClock, type Address, type Request } from '../../protocol/index.js';
import { uaOf } from '../client/client.js';
import { withRuntime, type Runtime } from '../client/runtime.js';
import type { Context } from '../context.js';
import { formatDuration } from '../io/duration.js';
import { choose } from '../io/prompt.js';
import { cell } from '../io/table.js';

export interface TailInput {
  /** Names or addresses of hyperties; none means the only one there is, or all. */
  readonly names: readonly string[];
  readonly raw: boolean;
  readonly count?: number | undefined;
  readonly timeoutMs?: number | undefined;
}

/** How many messages may be on their way to this program that it hasn't taken, for each hyperty. */
const WINDOW = 1024;
/** Where lines that wait are written at once, in UTF-16 code units. */
const FLUSH_AT = 64 * 1024;

interface Attached {
  readonly url: Address;
  /** Printed, not yet declared taken. */
  waiting: number;
  /** Since attaching. */
  taken: number;
}

const rawLine = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value ?? null));

/** Prints what comes, and tells the runtime what stdout has accepted. */
class Printer {
  readonly #runtime: Runtime;
  readonly #context: Context;
  readonly #input: TailInput;
  readonly #attached = new Map<string, Attached>();
  #lines = '';
  #printed = 0;
  #writing: Promise<void> | undefined;
  #finish: (() => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;
  /** Resolves when `count` messages were taken; rejects with what stdout said. */
  readonly done = new Promise<void>((resolve, reject) => { this.#finish = resolve; this.#fail = reject; });

  constructor(runtime: Runtime, context: Context, input: TailInput) {
    this.#runtime = runtime;
    this.#context = context;
    this.#input = input;
    this.done.catch(() => undefined);
  }

  async attach(name: string): Promise<void> {
    const { client, session } = this.#runtime;
    const window = Math.min(WINDOW, this.#input.count ?? WINDOW);
    const expected: Attached = { url: '' as Address, waiting: 0, taken: 0 };
    const { body } = await client.ask(uaOf(session.runtime), 'subscribe', { resource: name, value: { window } });
    const url = (typeof body.resource === 'string' ? body.resource : (body.value as { resource?: unknown } | undefined)?.resource) as Address;
    this.#attached.set(url, { ...expected, url });
  }

  /** Takes a message, if it is still wanted. */
  receive(message: Request): Promise<void> | undefined {
    const { count, raw } = this.#input;
    if (count !== undefined && this.#printed >= count) return undefined;
    const to = typeof message.to === 'string' ? message.to : message.to.find((address) => this.#attached.has(address));
    const attached = to === undefined ? undefined : this.#attached.get(to);
    if (attached === undefined) return undefined;
    attached.waiting += 1;
    this.#printed += 1;
    this.#lines += `${this.#line(message, raw)}\n`;
    this.#writing ??= this.#write();
    return this.#lines.length >= FLUSH_AT ? this.#writing : undefined;
  }

  async detach(): Promise<void> {
    const { client, session } = this.#runtime;
    await Promise.all([...this.#attached.keys()].map((url) => client.ask(uaOf(session.runtime), 'unsubscribe', { resource: url })));
  }

  /** That the time is up, and how much has come. */
  late(): ProtoflyError {
    const { count, timeoutMs = 0 } = this.#input;
    return new ProtoflyError('E_TIMEOUT', `the time is up: ${String(this.#printed)}${count === undefined ? '' : ` of ${String(count)}`} messages came in ${formatDuration(timeoutMs)}`);
  }

  #line(message: Request, raw: boolean): string {
    if (raw) return rawLine(message.body?.value);
    if (this.#context.output.json) return JSON.stringify(message);
    const type = message.type === 'create' ? '' : `${message.type} `;
    return `${this.#context.output.title(cell(message.from))}  ${type}${cell(rawLine(message.body?.value))}`;
  }

  async #write(): Promise<void> {
    // One turn later: messages that came in one read are one write.
    await Promise.resolve();
    try {
      while (this.#lines !== '') {
        const lines = this.#lines;
        const shares = [...this.#attached.values()].map((attached) => [attached, attached.waiting] as const);
        this.#lines = '';
        for (const [attached] of shares) attached.waiting = 0;
        await this.#context.output.write(lines);
        for (const [attached, share] of shares) this.#declare(attached, share);
      }
      if (this.#input.count !== undefined && this.#printed >= this.#input.count) this.#finish?.();
    } catch (error) {
      this.#fail?.(error);
    } finally {
      this.#writing = undefined;
    }
  }

  #declare(attached: Attached, share: number): void {
    if (share === 0) return;
    attached.taken += share;
    const { client, session } = this.#runtime;
    void client.post({ id: `${client.idPrefix}t${String(attached.taken)}`, type: 'update', from: client.address, to: uaOf(session.runtime), body: { resource: attached.url, value: { taken: attached.taken } } });
  }
}

/** The hyperties that are meant where none is named. */
const defaultNames = async (context: Context, runtime: Runtime): Promise<readonly string[]> => {
  const own = await runtime.hyperties();
  if (own.length === 0) throw new ProtoflyError('E_NOT_FOUND', 'this runtime has no hyperty', { hint: 'register one: protofly hyperty register NAME' });
  if (own.length === 1 || !context.interactive) return own.map(({ url }) => url);
  const all = own.map(({ url }) => url);
  return choose<readonly string[]>(context, 'Which hyperty?', [{ name: 'all of them', value: all }, ...own.map(({ name, url }) => ({ name, value: [url] }))]);
};

/**
 * Prints messages as they come, in order. A message counts as taken when stdout has accepted it; what wasn't goes back
 * to the inbox.
 * @throws ProtoflyError `E_TIMEOUT` when the time is up, and stdout's EPIPE when its reader has gone
 */
export const tailMessages = (context: Context, input: TailInput): Promise<void> =>
  withRuntime(context, {}, async (runtime) => {
    const until = input.timeoutMs === undefined ? undefined : systemClock.now() + input.timeoutMs;
    const printer = new Printer(runtime, context, input);
    const names = input.names.length > 0 ? input.names : await defaultNames(context, runtime);
    const early: Request[] = [];
    runtime.client.onMessage((message) => { early.push(message); });
    for (const name of names) await printer.attach(name);
    for (const message of early) await printer.receive(message);
    runtime.client.onMessage((message) => printer.receive(message));
    if (input.count === 0) return;
    try {
      await runtime.client.until(printer.done, until === undefined ? undefined : Math.max(0, until - systemClock.now()));
    } catch (error) {
      if (error instanceof ProtoflyError && error.code === 'E_TIMEOUT') throw printer.late();
      if (!(context.signal.aborted && input.count === undefined)) throw error;
    } finally {
      await detachQuietly(context, printer);
    }
  });

/** After Ctrl-C or the end of the link there is nobody to ask: the runtime detaches a program whose link has closed. */
const detachQuietly = async (context: Context, printer: Printer): Promise<void> => {
  if (context.signal.aborted) return;
  await printer.detach().catch((error: unknown) => {
    if (!(error instanceof ProtoflyError) || error.code !== 'E_LINK_CLOSED') throw error;
  });
};
