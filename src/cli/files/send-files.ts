import { setMaxListeners } from 'node:events';
import { ProtoflyError, type Address } from '../../protocol/index.js';
import { connectRuntime } from '../connect.js';
import type { Runtime } from '../../client/runtime.js';
import { findAddress } from '../target.js';
import type { Context } from '../context.js';
import { cell } from '../io/table.js';
import { makeDirect, senderAddress } from '../messages/send.js';
import { formatBytes, progressOf } from './progress.js';
import { FileSender, type SentFile } from '../../client/files/sender.js';
import { fileSource, streamSource, type Source } from '../../client/files/source.js';

export interface SendFilesInput {
  readonly address: string;
  /** Paths; `-` is stdin. */
  readonly files: readonly string[];
  /** The name to send instead of the file's own. */
  readonly name?: string | undefined;
  readonly from?: string | undefined;
  readonly requireDirect: boolean;
  readonly p2p: boolean;
  readonly timeoutMs?: number | undefined;
}

const check = ({ files, name, requireDirect, p2p }: SendFilesInput): void => {
  const wrong = (words: string): ProtoflyError => new ProtoflyError('E_USAGE', words);
  if (requireDirect && !p2p) throw wrong('--require-direct and --no-p2p exclude each other');
  if (name !== undefined && files.length > 1) throw wrong('--name is for one file, and there are several');
  if (files.includes('-') && (name === undefined || name === '')) throw new ProtoflyError('E_USAGE', 'stdin has no name', { hint: 'give it one: --file - --name NAME' });
};

const open = async (context: Context, path: string, name: string | undefined): Promise<Source> => {
  if (path === '-') return streamSource(context.stdin(), { name: name ?? path });
  context.output.progress(`reading ${cell(path)}`);
  return fileSource(path, { name, signal: context.signal });
};

/** Returns the current path to a receiver, for receivers that don't report it. */
const wayTo = async (runtime: Runtime, to: Address, p2p: boolean): Promise<string | undefined> => {
  // The file has arrived: a failure to find the path must not fail the transfer.
  const path = await runtime.resolve(to).then((resolution) => resolution.path, () => undefined);
  return path === 'p2p' && !p2p ? 'msg-node' : path;
};

/** @returns the fields printed for a file that has arrived */
const describe = (path: string, { size, sha256, seconds, resumedFrom, via }: SentFile) => ({ file: path, size, sha256, seconds: Math.round(seconds * 1000) / 1000, resumedFrom, ...(via === undefined ? {} : { via }) });

/** Adds the progress so far to the error that ended the transfer. */
const judge = (thrown: unknown, sender: FileSender | undefined, source: Source | undefined, done: number, all: number): unknown => {
  if (!(thrown instanceof ProtoflyError) || thrown.code === 'E_ABORTED') return thrown;
  const had = sender?.had ?? 0;
  const words = had === 0 || source === undefined ? thrown.message : `${thrown.message}; ${formatBytes(had)}${source.size === undefined ? '' : ` of ${formatBytes(source.size)}`} had arrived`;
  const hint = thrown.hint ?? (had > 0 && source?.sha256 !== undefined ? 'send it again: it goes on from there' : undefined);
  const details = { cause: thrown, ...(hint === undefined ? {} : { hint }) };
  return done === 0 ? new ProtoflyError(thrown.code, words, details) : new ProtoflyError('E_PARTIAL', `${String(done)} of ${String(all)} files sent: ${words}`, details);
};

/**
 * Sends files one after another. Resolves when the receiver has checked and saved each of them.
 * @throws ProtoflyError `E_PARTIAL` if only some were sent
 */
export const sendFiles = async (context: Context, input: SendFilesInput): Promise<void> => {
  check(input);
  const { files, name, p2p, requireDirect, timeoutMs = 30_000 } = input;
  let source: Source | undefined;
  let sender: FileSender | undefined;
  let runtime: Runtime | undefined;
  let done = 0;
  // Each request in flight adds a listener. Abandoned requests keep theirs until they time out.
  setMaxListeners(0, context.signal);
  try {
    source = await open(context, files[0]!, name);
    const { client } = runtime = await connectRuntime(context, { timeoutMs: Math.max(timeoutMs, 1) });
    const [to, from] = await Promise.all([findAddress(context, runtime, input.address), senderAddress(runtime, input.from)]);
    if (requireDirect) await makeDirect(runtime, to, timeoutMs);
    const request = async (value: unknown, waitMs: number) => client.request(to, 'create', { value, expect: 'response', ...(requireDirect ? { p2p: 'require' } : p2p ? {} : { p2p: false }) }, { from, timeoutMs: waitMs });
    for (const path of files) {
      source ??= await open(context, path, name);
      sender = new FileSender({ source, request }, { timeoutMs, signal: context.signal, onProgress: progressOf((line) => { context.output.progress(line); }, source.name, source.size) });
      const file = await sender.send();
      const sent = describe(path, { ...file, via: file.via ?? await wayTo(runtime, to, p2p) });
      done += 1;
      await context.output.line(sent, () => `${cell(path)}  ${formatBytes(sent.size)}  sha256 ${sent.sha256}${sent.resumedFrom > 0 ? `  resumed from ${formatBytes(sent.resumedFrom)}` : ''}`);
      await source.close();
      [source, sender] = [undefined, undefined];
    }
  } catch (thrown) {
    throw judge(thrown, sender, source, done, files.length);
  } finally {
    context.output.clearProgress();
    await source?.close();
    await runtime?.client.close();
  }
};
