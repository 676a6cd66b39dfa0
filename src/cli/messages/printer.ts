import { ProtoflyError, type Address, type Message, type Request } from '../../protocol/index.js';
import { uaOf, type Client } from '../../client/client.js';
import type { Runtime } from '../../client/runtime.js';
import type { Context } from '../context.js';
import { FileReceiver, isFileMessage, type SavedFile } from '../../client/files/index.js';
import { formatBytes } from '../files/progress.js';
import { formatDuration } from '../io/duration.js';
import { cell, printable } from '../io/table.js';

export interface PrinterInit {
  readonly raw: boolean;
  /** The number of messages to print. @default unlimited */
  readonly count?: number | undefined;
  readonly timeoutMs?: number | undefined;
  /** Folder for received files. @default none: their messages are printed like others */
  readonly folder?: string | undefined;
}

/** The maximum number of messages in flight from the runtime to this program, per hyperty. */
const WINDOW = 1024;
/** Length of queued lines at which reading pauses, in UTF-16 code units. */
const FULL = 64 * 1024;

interface Attached {
  readonly url: Address;
  /** The number of messages accepted by stdout since attaching. */
  taken: number;
  /** The number of messages reported to the runtime as taken. */
  declared: number;
}

/** A line to be written, and the hyperty whose message it completes. The text is empty for a piece of a file. */
interface Line {
  readonly text: string;
  readonly attached: Attached | undefined;
}

const rawLine = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value ?? null));

/** Posts a message and ignores a closed link. Other waits report the end of the link. */
const postQuietly = (client: Client, message: Message): void => {
  try {
    void client.post(message);
  } catch (error) {
    if (!(error instanceof ProtoflyError) || error.code !== 'E_LINK_CLOSED') throw error;
  }
};

/** Prints messages as they arrive, and reports to the runtime which of them stdout has accepted. */
export class Printer {
  readonly #runtime: Runtime;
  readonly #context: Context;
  readonly #init: PrinterInit;
  readonly #attached = new Map<string, Attached>();
  readonly #files: FileReceiver | undefined;
  #lines: Line[] = [];
  /** The length of the queued lines, in UTF-16 code units. */
  #size = 0;
  #printed = 0;
  #isStopped = false;
  #writing: Promise<void> | undefined;
  #declaring: NodeJS.Immediate | undefined;
  #finish: (() => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;
  /** Resolves when `count` messages were taken. Rejects with the error of stdout. */
  readonly done = new Promise<void>((resolve, reject) => { this.#finish = resolve; this.#fail = reject; });

  constructor(runtime: Runtime, context: Context, init: PrinterInit) {
    this.#runtime = runtime;
    this.#context = context;
    this.#init = init;
    this.#files = init.folder === undefined ? undefined : this.#receiver(init.folder);
    this.done.catch(() => undefined);
  }

  async attach(name: string): Promise<void> {
    const { client, session } = this.#runtime;
    const window = Math.min(WINDOW, this.#files === undefined ? this.#init.count ?? WINDOW : WINDOW);
    const { body } = await client.ask(uaOf(session.runtime), 'subscribe', { resource: name, value: { window, answers: this.#files !== undefined } });
    const url = (typeof body.resource === 'string' ? body.resource : (body.value as { resource?: unknown } | undefined)?.resource) as Address;
    this.#attached.set(url, { url, taken: 0, declared: 0 });
  }

  /** Takes a message, if more are wanted. @returns settles when there is room for the next */
  receive(message: Request): Promise<void> | undefined {
    const { count } = this.#init;
    if (this.#isStopped || (count !== undefined && this.#printed >= count)) return undefined;
    const to = typeof message.to === 'string' ? message.to : message.to.find((address) => this.#attached.has(address));
    const attached = to === undefined ? undefined : this.#attached.get(to);
    if (attached === undefined) return undefined;
    if (this.#files !== undefined && isFileMessage(message)) return this.#part(this.#files, message, attached);
    return this.#print(this.#line(message), attached);
  }

  /**
   * Stops printing. Queued messages return to the inbox when this program detaches.
   * @returns settles when the runtime has been told which messages stdout has accepted
   */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#writing;
    this.#declare();
  }

  async detach(): Promise<void> {
    const { client, session } = this.#runtime;
    await Promise.all([...this.#attached.keys()].map((url) => client.ask(uaOf(session.runtime), 'unsubscribe', { resource: url })));
  }

  /** Closes incomplete files. The parts received so far stay on disk. */
  async close(): Promise<void> {
    await this.#files?.close();
  }

  /** Returns the timeout error, with the number of messages received. */
  late(): ProtoflyError {
    const { count, timeoutMs = 0 } = this.#init;
    return new ProtoflyError('E_TIMEOUT', `the time is up: ${String(this.#printed)}${count === undefined ? '' : ` of ${String(count)}`} messages came in ${formatDuration(timeoutMs)}`);
  }

  #print(line: string, attached?: Attached): Promise<void> | undefined {
    this.#printed += 1;
    return this.#add({ text: `${line}\n`, attached });
  }

  #add(line: Line): Promise<void> | undefined {
    this.#lines.push(line);
    this.#size += line.text.length;
    this.#writing ??= this.#write();
    return this.#size >= FULL ? this.#writing : undefined;
  }

  async #part(files: FileReceiver, message: Request, attached: Attached): Promise<void> {
    await files.take(message, attached.url);
    await this.#add({ text: '', attached });
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
    if (this.#init.raw) return path;
    if (this.#context.output.json) return JSON.stringify({ file: path, size, sha256, from, to });
    return `${this.#context.output.title(cell(from))}  file ${cell(path)}  ${formatBytes(size)}  sha256 ${sha256}`;
  }

  #line(message: Request): string {
    if (this.#init.raw) return rawLine(message.body?.value);
    if (this.#context.output.json) return JSON.stringify(message);
    const type = message.type === 'create' ? '' : `${message.type} `;
    return `${this.#context.output.title(cell(message.from))}  ${type}${cell(rawLine(message.body?.value))}`;
  }

  async #write(): Promise<void> {
    // Wait one microtask, so that messages from one read are written together.
    await Promise.resolve();
    try {
      while (this.#lines.length > 0 && !this.#isStopped) await this.#writeAll(this.#lines.splice(0));
      if (this.#init.count !== undefined && this.#printed >= this.#init.count) this.#finish?.();
    } catch (error) {
      this.#isStopped = true;
      this.#fail?.(error);
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeAll(lines: readonly Line[]): Promise<void> {
    let next = 0;
    for await (const count of this.#context.output.lines(lines.map(({ text }) => text))) {
      for (const { attached, text } of lines.slice(next, next + count)) {
        this.#size -= text.length;
        if (attached !== undefined) attached.taken += 1;
      }
      next += count;
      // One report covers all lines that stdout accepts in one turn of the event loop.
      this.#declaring ??= setImmediate(() => { this.#declare(); });
      if (this.#isStopped) return;
    }
  }

  #declare(): void {
    clearImmediate(this.#declaring);
    this.#declaring = undefined;
    const { client, session } = this.#runtime;
    for (const attached of this.#attached.values()) {
      const { url, taken, declared } = attached;
      if (taken === declared) continue;
      attached.declared = taken;
      postQuietly(client, { id: `${client.idPrefix}t${String(taken)}`, type: 'update', from: client.address, to: uaOf(session.runtime), body: { resource: url, value: { taken } } });
    }
  }
}
