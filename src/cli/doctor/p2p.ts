import { child } from '../../protocol/index.js';
import { withRuntime } from '../connect.js';
import type { Context } from '../context.js';

/** The runtime's diagnosis of a P2P path (docs/control.md). The verdicts are listed in docs/cli.md. */
export interface Diagnosis {
  readonly verdict: string;
  readonly summary: string;
  readonly next?: string;
  readonly remoteRuntime?: string;
  readonly here: Readonly<Record<string, unknown>>;
  readonly peer?: Readonly<Record<string, unknown>>;
  readonly pair?: { readonly local?: unknown; readonly remote?: unknown };
  readonly setupMs?: number;
  readonly reason?: string;
}

/** Verdicts that mean that a P2P connection exists or can be set up. */
const GOOD: ReadonlySet<string> = new Set(['DIRECT_OK', 'DIRECT_LIKELY', 'RELAY_OK']);

export const isGood = ({ verdict }: Diagnosis): boolean => GOOD.has(verdict);

/** Has the runtime examine both sides and, if `connect` is true, try to set up a connection. */
export const diagnoseP2p = (context: Context, typed: string, { connect, timeoutMs }: { readonly connect: boolean; readonly timeoutMs: number }): Promise<Diagnosis> =>
  withRuntime(context, { timeoutMs }, async (runtime) => {
    context.output.progress(`${typed}: looking at both sides …`);
    const to = child(runtime.session.runtime, 'doctor');
    const { body } = await runtime.client.ask(to, 'execute', { resource: '/p2p', value: { address: typed, connect } }, { timeoutMs });
    context.output.clearProgress();
    return body.value as Diagnosis;
  });
