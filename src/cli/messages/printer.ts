import { ProtoflyError, UNNAMED_CLIENT, type Address, type Message, type Request } from '../../protocol/index.js';
import { uaOf, type Client } from '../../client/client.js';
import type { SenderInfo } from '../../client/documents.js';
import type { Runtime } from '../../client/runtime.js';
import type { Context } from '../context.js';
import { FileReceiver, isFileMessage, type SavedFile } from '../../client/files/index.js';
import { senderName, SenderNames } from '../senders.js';
import { formatBytes } from '../files/progress.js';
import { formatDuration } from '../io/duration.js';
import { cell, printable } from '../io/table.js';

export interface PrinterInit {
  readonly raw: boolean;
  /** The number of messages to print. @default unlimited */
  readonly count?: number | undefined;
  /** Time for which messages are printed, in milliseconds. @default unlimited */
  readonly timeoutMs?: number | undefined;
  /** Folder for received files. @default none: their messages are printed like others */
  readonly folder?: string | undefined;
}

/** Most messages of one hyperty that the runtime sends before this program has taken them. */
const WINDOW = 1024;
/** Length of the waiting lines from which `receive` tells of backpressure, in UTF-16 code units. */
const FULL = 64 * 1024;

interface Attached {
  readonly url: Address;
  /** Messages that stdout has accepted since attaching. */
  taken: number;
  /** Messages of these that the runtime has been told of. */
  declared: number;
}

/** A line to write, and the hyperty that has taken one more message when it is written. A piece of a file has no text. */
interface Line {
  readonly text: string;
  readonly attached: Attached | undefined;
}

/** `written` settles when stdout has accepted the lines of this round. */
type Writing =
  | { readonly kind: 'idle' }
  | { readonly kind: 'writing'; readonly written: Promise<void> }
  | { readonly kind: 'stopped'; readonly written: Promise<void> };

/** The sender of a message that is printed without one. */
const NOBODY: SenderInfo = { address: UNNAMED_CLIENT, verified: false };

const rawLine = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value ?? null));

/** Posts a message, and drops it if the link has ended: whoever waits for that end learns it elsewhere. */
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
  readonly #senders: SenderNames;
  /** Settles when the senders of all messages so far are known. Undefined if they are. */
  #asking: Promise<void> | undefined;
  #lines: Line[] = [];
  /** Length of the lines that wait. */
  #size = 0;
  #printed = 0;
  #writing: Writing = { kind: 'idle' };
  #declaring: NodeJS.Immediate | undefined;
  #finish: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  /** Resolves when `count` messages were taken; rejects with the error of stdout. */
  readonly done = new Promise<void>((resolve, reject) => { this.#finish = resolve; this.#fail = reject; });

  constructor(runtime: Runtime, context: Context, init: PrinterInit) {
    this.#runtime = runtime;
    this.#context = context;
    this.#init = init;
    this.#senders = new SenderNames(runtime);
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
    if (this.#isStopped || this.#isEnough) return undefined;
    const to = typeof message.to === 'string' ? message.to : message.to.find((address) => this.#attached.has(address));
    const attached = to === undefined ? undefined : this.#attached.get(to);
    if (attached === undefined) return undefined;
    if (this.#files !== undefined && isFileMessage(message)) return this.#part(this.#files, message, attached);
    const sender = this.#init.raw ? NOBODY : this.#asking === undefined ? this.#senders.known(message.from) : undefined;
    if (sender !== undefined) return this.#print(this.#line(message, sender), attached);
    // Later messages wait for the sender of this one, so that all are printed in order. The link doesn't wait, because the
    // answer comes by it. The window bounds how many messages there are.
    const asking = (this.#asking ?? Promise.resolve()).then(async () => {
      const asked = this.#senders.known(message.from) ?? await this.#senders.find(message.from);
      if (!this.#isStopped && !this.#isEnough) await this.#print(this.#line(message, asked), attached);
    }).finally(() => { if (this.#asking === asking) this.#asking = undefined; });
    this.#asking = asking;
    return undefined;
  }

  get #isEnough(): boolean {
    const { count } = this.#init;
    return count !== undefined && this.#printed >= count;
  }

  /**
   * Prints nothing more. Waiting messages go back to the inbox when this program detaches.
   * @returns a promise that resolves when the runtime has been told of all that stdout has accepted
   */
  async stop(): Promise<void> {
    const { written } = this.#stopped();
    await written;
    this.#declare();
  }

  async detach(): Promise<void> {
    const { client, session } = this.#runtime;
    await Promise.all([...this.#attached.keys()].map((url) => client.ask(uaOf(session.runtime), 'unsubscribe', { resource: url })));
  }

  /** Closes incomplete files; their parts stay on disk. */
  async close(): Promise<void> {
    await this.#files?.close();
  }

  /** Returns the error that says that the time is up, and how many messages came. */
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
    const written = this.#started();
    return this.#size >= FULL ? written : undefined;
  }

  get #isStopped(): boolean {
    return this.#writing.kind === 'stopped';
  }

  /** Starts writing, unless it goes on or was stopped. */
  #started(): Promise<void> {
    if (this.#writing.kind === 'idle') this.#writing = { kind: 'writing', written: this.#write() };
    return this.#writing.written;
  }

  #stopped(): Writing & { readonly kind: 'stopped' } {
    const stopped = { kind: 'stopped', written: this.#writing.kind === 'idle' ? Promise.resolve() : this.#writing.written } as const;
    this.#writing = stopped;
    return stopped;
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

  #line(message: Request, sender: SenderInfo): string {
    if (this.#init.raw) return rawLine(message.body?.value);
    if (this.#context.output.json) return JSON.stringify({ ...message, sender });
    const type = message.type === 'create' ? '' : `${message.type} `;
    return `${this.#context.output.title(cell(senderName(sender, this.#runtime.session.domain)))}  ${type}${cell(rawLine(message.body?.value))}`;
  }

  async #write(): Promise<void> {
    // Wait one microtask, so that messages from one read are written together.
    await Promise.resolve();
    try {
      while (this.#lines.length > 0 && !this.#isStopped) await this.#writeAll(this.#lines.splice(0));
      if (this.#init.count !== undefined && this.#printed >= this.#init.count) this.#finish();
    } catch (error) {
      this.#stopped();
      this.#fail(error);
    } finally {
      if (!this.#isStopped) this.#writing = { kind: 'idle' };
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
      // One message tells of all lines that stdout accepts in one turn.
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
