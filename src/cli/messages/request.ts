import { ProtoflyError, type Response } from '../../protocol/index.js';
import { withRuntime } from '../connect.js';
import { findAddress } from '../target.js';
import type { Context } from '../context.js';
import { parseValue, requestTypeOf, senderAddress, type MessageInput } from './send.js';

/** Without words in `text`, the request has no value. `-` reads stdin to its end. */
export interface RequestInput extends MessageInput {
  readonly timeoutMs: number;
}

const valueOf = async (context: Context, { text, jsonBody }: RequestInput): Promise<unknown> => {
  if (text.length === 0) return undefined;
  let words = text.join(' ');
  if (words === '-') {
    const { splitStream } = await import('./split.js');
    for await (const [whole = ''] of splitStream(context.stdin(), 'eof')) words = whole;
  }
  return jsonBody ? parseValue(words, 'TEXT') : words;
};

/** Marks a timeout as uncertain: the receiver may have handled the request. */
const unanswered = (thrown: unknown): never => {
  if (!(thrown instanceof ProtoflyError) || thrown.code !== 'E_TIMEOUT') throw thrown;
  const { code, message, hint } = thrown;
  throw new ProtoflyError(code, message, { cause: thrown, uncertain: true, ...(hint === undefined ? {} : { hint }) });
};

/**
 * Sends one request to a program and returns its response.
 * @throws ProtoflyError for the response's code; `E_TIMEOUT` if there is no response
 */
export const requestResponse = async (context: Context, input: RequestInput): Promise<Response> => {
  const type = requestTypeOf(input.type);
  const value = await valueOf(context, input);
  return withRuntime(context, { timeoutMs: input.timeoutMs }, async (runtime) => {
    const [to, from] = await Promise.all([findAddress(context, runtime, input.address), senderAddress(runtime, input.from)]);
    return runtime.client.ask(to, type, { ...(value === undefined ? {} : { value }), expect: 'response', ...(input.p2p ? {} : { p2p: false }) }, {
      from,
      onProvisional: (response) => { context.output.progress(`${String(response.body.code)} from ${response.from}`); },
    }).catch(unanswered);
  });
};
