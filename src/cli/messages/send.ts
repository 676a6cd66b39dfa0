import { ProtoflyError, REQUEST_TYPES, type Address, type RequestType } from '../../protocol/index.js';
import { connectRuntime } from '../connect.js';
import type { SenderInfo } from '../../client/documents.js';
import type { Runtime } from '../../client/runtime.js';
import { findAddress, findAddresses } from '../target.js';
import type { Context } from '../context.js';
import { askText } from '../io/prompt.js';
import { changeIn } from './exact.js';
import { ProgramSender, type Receipt } from './sender.js';
import type { Split } from './split.js';

/** The input of every command that sends messages. */
export interface MessageInput {
  readonly address: string;
  /** Words of one message. */
  readonly text: readonly string[];
  readonly from?: string | undefined;
  readonly type: string;
  readonly jsonBody: boolean;
  /** False if messages must go through the message node. */
  readonly p2p: boolean;
  readonly timeoutMs?: number | undefined;
}

/** Without words in `text`, or with `-`, messages are read from stdin. */
export interface SendInput extends MessageInput {
  readonly split: Split;
  readonly requireDirect: boolean;
  readonly receipt: boolean;
  /** True to store messages that can't be delivered now. @default false */
  readonly store?: boolean;
  /** True to send to the name on each connected machine of its user. @default false */
  readonly all?: boolean;
}

/** Types that a program may receive. Types of the session itself are excluded. */
export const SENDABLE = REQUEST_TYPES.filter((type) => !['open', 're-open', 'close', 'ping'].includes(type));

/** Number of refusals after which sending stops, if no message has been delivered. */
const HOPELESS = 512;

/** @throws ProtoflyError `E_USAGE` */
export const requestTypeOf = (type: string): RequestType => {
  const known = SENDABLE.find((candidate) => candidate === type.toLowerCase());
  if (known !== undefined) return known;
  throw new ProtoflyError('E_USAGE', `there is no message type ${JSON.stringify(type)}`, { hint: `there are ${SENDABLE.join(', ')}` });
};

/** Returns the sender address: the named hyperty of this runtime, else its only hyperty, else the program itself. */
export const senderAddress = async (runtime: Runtime, name: string | undefined): Promise<Address> => {
  const own = await runtime.hyperties();
  if (name === undefined) return own.length === 1 ? own[0]!.url : runtime.client.address;
  const found = own.find((hyperty) => hyperty.name === name || hyperty.url === name);
  if (found !== undefined) return found.url;
  throw new ProtoflyError('E_NOT_FOUND', `this runtime has no hyperty ${name}`, { hint: `register it: protofly hyperty register ${name}` });
};

/** Parses JSON. @throws ProtoflyError `E_USAGE` if it isn't JSON, or if parsing would change it */
export const parseValue = (text: string, which: string): unknown => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `${which} isn't JSON: ${cause instanceof Error ? cause.message : 'unreadable'}`, { cause });
  }
  const change = changeIn(text, value);
  if (change === undefined) return value;
  throw new ProtoflyError('E_USAGE', `${which} can't be sent exactly: ${change}`, { hint: 'write that value as a string, or send all of it as text' });
};

/** Yields the messages to send, in batches. */
async function* batchesOf(context: Context, { text, split }: SendInput): AsyncGenerator<readonly string[]> {
  const fromStdin = text.length === 0 || (text.length === 1 && text[0] === '-');
  if (!fromStdin) { yield [text.join(' ')]; return; }
  if (text.length === 0 && context.stdinIsTerminal) {
    if (!context.interactive) throw new ProtoflyError('E_USAGE', 'TEXT is missing', { hint: 'give it as an argument, or pipe it in' });
    yield [await askText(context, 'TEXT')];
    return;
  }
  const { splitStream } = await import('./split.js');
  yield* splitStream(context.stdin(), split);
}

/** Waits until the P2P connection is live. @throws ProtoflyError `E_NOT_DIRECT` if none can be set up */
export const makeDirect = async (runtime: Runtime, to: Address, timeoutMs: number): Promise<void> => {
  await runtime.p2p('connect', to, { timeoutMs }).catch((error: unknown) => {
    if (!(error instanceof ProtoflyError) || ['E_NOT_FOUND', 'E_LINK_CLOSED', 'E_ABORTED', 'E_ADDRESS'].includes(error.code)) throw error;
    throw new ProtoflyError('E_NOT_DIRECT', `no direct connection: ${error.message}`, { hint: 'see protofly p2p status, or send without --require-direct', cause: error });
  });
};

/** Prints receipts as they arrive, in batches. The queue is bounded. */
class ReceiptPrinter {
  #lines = '';
  #writing: Promise<void> | undefined;
  #error: unknown;

  constructor(private readonly context: Context) {}

  print(receipt: Receipt & Partial<Receiver>): void {
    this.#lines += `${JSON.stringify(receipt)}\n`;
    this.#writing ??= this.#write();
  }

  /** Resolves when all receipts are printed. @throws the error of stdout */
  async flushed(): Promise<void> {
    await this.#writing;
     
    if (this.#error !== undefined) throw this.#error;
  }

  get isFull(): boolean {
    return this.#lines.length > 64 * 1024 || this.#error !== undefined;
  }

  async #write(): Promise<void> {
    // Wait one microtask, so that receipts from one read are written together.
    await Promise.resolve();
    try {
      for (; this.#lines !== ''; ) {
        const lines = this.#lines;
        this.#lines = '';
        await this.context.output.write(lines);
      }
    } catch (error) {
      this.#error = error;
    } finally {
      this.#writing = undefined;
    }
  }
}

/** Sends all messages. @returns an error of the input that stopped it early, not of the sending */
const pump = async (sender: ProgramSender, batches: AsyncGenerator<readonly string[]>, input: SendInput, printer: ReceiptPrinter): Promise<unknown> => {
  const asJson = input.jsonBody || input.split === 'json';
  try {
    for (;;) {
      const next = await Promise.race([batches.next(), sender.ended]);
      if (next === undefined || next.done === true) return undefined;
      for (const text of next.value) {
        while (!sender.hasRoom && sender.over === undefined) await sender.change();
        if (printer.isFull) await printer.flushed();
        if (sender.over !== undefined || (sender.delivered === 0 && sender.failed + sender.unknown >= HOPELESS)) return undefined;
        sender.send(asJson ? parseValue(text, input.text.length > 0 && input.text[0] !== '-' ? 'TEXT' : `message ${String(sender.sent + 1)}`) : text, text.length);
      }
    }
  } catch (error) {
    return error;
  }
};

/** Sends all messages, and waits until each has its receipt. @returns as `pump` */
const sendAll = async (sender: ProgramSender, ...rest: readonly [AsyncGenerator<readonly string[]>, SendInput, ReceiptPrinter]): Promise<unknown> => {
  const inputError = await pump(sender, ...rest);
  while (sender.inFlight > 0 && sender.over === undefined) await sender.change();
  return inputError;
};

const counted = (count: number): string => `${String(count)} message${count === 1 ? '' : 's'}`;

/** Throws if not all messages were delivered. @throws ProtoflyError */
const judge = (sender: ProgramSender, inputError: unknown): void => {
  const { delivered, failed, unknown, firstError, over } = sender;
  const cause = firstError ?? over ?? inputError;
  if (cause === undefined) return;
  const nothingMissing = failed === 0 && unknown === 0 && over !== undefined;
   
  if (delivered === 0 || nothingMissing) throw cause;
  if (!(cause instanceof ProtoflyError)) throw cause as Error;
  const parts = [`${counted(delivered)} delivered`, ...(failed > 0 ? [`${String(failed)} refused`] : []), ...(unknown > 0 ? [`${String(unknown)} unknown`] : []), ...(inputError === undefined ? [] : ['the rest of the input not sent'])];
  throw new ProtoflyError('E_PARTIAL', `${parts.join(', ')}: ${cause.message}`, { cause, ...(cause.hint === undefined ? {} : { hint: cause.hint }) });
};

/** The receiver, as receipts name him. */
interface Receiver {
  readonly user?: Address;
  /** True if the user has proved that the address is his. */
  readonly verified: boolean;
}

/** Time for finding out whose an address is, in milliseconds. Messages wait for it. */
const WHOSE_MS = 2000;

const receiverOf = async (runtime: Runtime, to: Address): Promise<Receiver> => {
  const { user, claimed, verified } = await runtime.sender(to, WHOSE_MS).catch((): Partial<SenderInfo> => ({}));
  const owner = user ?? claimed;
  return { ...(owner === undefined ? {} : { user: owner }), verified: verified === true };
};

const receiversOf = async (context: Context, runtime: Runtime, { address, all = false }: SendInput): Promise<readonly [Address, ...Address[]]> =>
  all ? findAddresses(context, runtime, address) : [await findAddress(context, runtime, address)];

/**
 * Sends one message or a stream of them, and waits until each has its receipt.
 * @throws ProtoflyError `E_PARTIAL` if only some were delivered; else the reason of the refusals
 */
export const sendMessages = async (context: Context, input: SendInput): Promise<void> => {
  const type = requestTypeOf(input.type);
  if (input.requireDirect && !input.p2p) throw new ProtoflyError('E_USAGE', '--require-direct and --no-p2p exclude each other');
  if (input.requireDirect && input.store === true) throw new ProtoflyError('E_USAGE', '--require-direct and --store exclude each other');
  const timeoutMs = input.timeoutMs ?? 30_000;
  const runtime = await connectRuntime(context, { timeoutMs: Math.max(timeoutMs, 1) });
  const printer = new ReceiptPrinter(context);
  try {
    const [to, from] = await Promise.all([receiversOf(context, runtime, input), senderAddress(runtime, input.from)]);
    if (input.requireDirect) await Promise.all(to.map((one) => makeDirect(runtime, one, timeoutMs)));
    // All of them are one user's.
    const receiver = input.receipt ? await receiverOf(runtime, to[0]) : undefined;
    const sender = new ProgramSender({ client: runtime.client }, {
      to, from, type, timeoutMs: input.timeoutMs, window: runtime.session.window, signal: context.signal,
      p2p: input.requireDirect ? 'require' : input.p2p ? undefined : false,
      store: input.store === true,
      ...(input.receipt ? { onReceipt: (receipt: Receipt) => { printer.print({ ...receipt, ...receiver }); } } : {}),
    });
    const sending = sendAll(sender, batchesOf(context, input), input, printer);
    const inputError = await (input.receipt ? context.output.whileRead(sending) : sending);
    sender.close();
    await printer.flushed();
    judge(sender, inputError);
    if (sender.sent === 0) context.output.note('nothing was sent: stdin was empty');
  } finally {
    await runtime.client.close();
  }
};

