import { ProtoflyError, systemClock, type Address, type Message, type Request } from '../../protocol/index.js';
import { uaOf, type Client } from '../client/client.js';
import { withRuntime, type Runtime } from '../client/runtime.js';
import type { Context } from '../context.js';
import { FileReceiver, isFileMessage, saveFolder, type SavedFile } from '../files/index.js';
import { formatBytes } from '../files/progress.js';
import { formatDuration } from '../io/duration.js';
import { choose } from '../io/prompt.js';
import { cell, printable } from '../io/table.js';

export interface TailInput {
  /** Names or addresses of hyperties; none means the only one there is, or all. */
  readonly names: readonly string[];
  readonly raw: boolean;
  readonly count?: number | undefined;
  readonly timeoutMs?: number | undefined;
  /** Folder for files that are sent. @default they are messages like others */
  readonly save?: string | undefined;
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

/** An answer for a link that has ended has nowhere to go; the end is told to whoever waits for it. */
const postQuietly = (client: Client, message: Message): void => {
  try {
    void client.post(message);
  } catch (error) {
    if (!(error instanceof ProtoflyError) || error.code !== 'E_LINK_CLOSED') throw error;
  }
};

/** Prints what comes, and tells the runtime what stdout has accepted. */
class Printer {
  readonly #runtime: Runtime;
  readonly #context: Context;
  readonly #input: TailInput;
  readonly #attached = new Map<string, Attached>();
  readonly #files: FileReceiver | undefined;
  #lines = '';
  #printed = 0;
  /** Something was taken of which nothing is printed. */
  #silent = false;
  #writing: Promise<void> | undefined;
  #finish: (() => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;
  /** Resolves when `count` messages were taken; rejects with what stdout said. */
  readonly done = new Promise<void>((resolve, reject) => { this.#finish = resolve; this.#fail = reject; });

  constructor(runtime: Runtime, context: Context, input: TailInput, folder: string | undefined) {
    this.#runtime = runtime;
    this.#context = context;
    this.#input = input;
    this.#files = folder === undefined ? undefined : this.#receiver(folder);
    this.done.catch(() => undefined);
  }

  async attach(name: string): Promise<void> {
    const { client, session } = this.#runtime;
    const window = Math.min(WINDOW, this.#files === undefined ? this.#input.count ?? WINDOW : WINDOW);
    const expected: Attached = { url: '' as Address, waiting: 0, taken: 0 };
    const { body } = await client.ask(uaOf(session.runtime), 'subscribe', { resource: name, value: { window, answers: this.#files !== undefined } });
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
    if (this.#files !== undefined && isFileMessage(message)) return this.#part(this.#files, message, attached);
    attached.waiting += 1;
    return this.#print(this.#line(message, raw));
  }

  /** Lets go of files that aren't complete; what there is of them stays. */
  async close(): Promise<void> {
    await this.#files?.close();
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

  #print(line: string): Promise<void> | undefined {
    this.#printed += 1;
    this.#lines += `${line}\n`;
    this.#writing ??= this.#write();
    return this.#lines.length >= FLUSH_AT ? this.#writing : undefined;
  }

  async #part(files: FileReceiver, message: Request, attached: Attached): Promise<void> {
    await files.take(message, attached.url);
    attached.waiting += 1;
    this.#silent = true;
    this.#writing ??= this.#write();
  }

  #receiver(folder: string): FileReceiver {
    const { client } = this.#runtime;
    return new FileReceiver(
      { answer: (response) => { postQuietly(client, response); } },
      {
        folder,
        onFile: (file) => { void this.#print(this.#fileLine(file)); },
        onFailure: (from, name, error) => { this.#context.output.note(`${cell(name)} of ${cell(from)} was not saved: ${printable(error.message)}`); },
      },
    );
  }

  #fileLine({ path, size, sha256, from, to }: SavedFile): string {
    if (this.#input.raw) return path;
    if (this.#context.output.json) return JSON.stringify({ file: path, size, sha256, from, to });
    return `${this.#context.output.title(cell(from))}  file ${cell(path)}  ${formatBytes(size)}  sha256 ${sha256}`;
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
      while (this.#lines !== '' || this.#silent) {
        const lines = this.#lines;
        this.#silent = false;
        const shares = [...this.#attached.values()].map((attached) => [attached, attached.waiting] as const);
        this.#lines = '';
        for (const [attached] of shares) attached.waiting = 0;
        if (lines !== '') await this.#context.output.write(lines);
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
    const printer = new Printer(runtime, context, input, input.save === undefined ? undefined : await saveFolder(input.save));
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
      await printer.close();
    }
  });

/** After Ctrl-C or the end of the link there is nobody to ask: the runtime detaches a program whose link has closed. */
const detachQuietly = async (context: Context, printer: Printer): Promise<void> => {
  if (context.signal.aborted) return;
  await printer.detach().catch((error: unknown) => {
    if (!(error instanceof ProtoflyError) || error.code !== 'E_LINK_CLOSED') throw error;
  });
};
