import { child } from '../../protocol/index.js';
import { withRuntime } from '../connect.js';
import type { Context } from '../context.js';

/** What the runtime found out (docs/control.md). Codes are in docs/cli.md. */
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

/** Verdicts with which there is, or will be, a P2P connection. */
const GOOD: ReadonlySet<string> = new Set(['DIRECT_OK', 'DIRECT_LIKELY', 'RELAY_OK']);

export const isGood = ({ verdict }: Diagnosis): boolean => GOOD.has(verdict);

/** Has the runtime look at both sides, and try a set-up unless that isn't wanted. */
export const diagnoseP2p = (context: Context, typed: string, { connect, timeoutMs }: { readonly connect: boolean; readonly timeoutMs: number }): Promise<Diagnosis> =>
  withRuntime(context, { timeoutMs }, async (runtime) => {
    context.output.progress(`${typed}: looking at both sides …`);
    const to = child(runtime.session.runtime, 'doctor');
    const { body } = await runtime.client.ask(to, 'execute', { resource: '/p2p', value: { address: typed, connect } }, { timeoutMs });
    context.output.clearProgress();
    return body.value as Diagnosis;
  });
