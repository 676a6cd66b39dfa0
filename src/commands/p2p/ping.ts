import { integer } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { formatDuration } from '../../cli/io/duration.js';
import { needed } from '../../cli/io/prompt.js';
import { pingP2p } from '../../cli/p2p.js';

export default class P2pPing extends BaseCommand {
  static override summary = 'measure round trips to the runtime that hosts an address, and show their paths';
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = {
    count: integer({ char: 'c', description: 'number of pings', default: 4, min: 1 }),
    interval: durationFlag({ description: 'time between two pings', default: 1000 }),
    timeout: durationFlag({ description: 'time limit for each', default: 5000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(P2pPing);
    const context = this.context(flags);
    const address = await needed(context, 'ADDRESS', args.address);
    const summary = await pingP2p(context, address, { count: flags.count, intervalMs: flags.interval, timeoutMs: flags.timeout }, (ping) =>
      context.output.line(ping, () => (ping.rtt_ms === undefined ? `${String(ping.seq)}: ${ping.error ?? 'no answer'}` : `${String(ping.seq)}: ${formatDuration(ping.rtt_ms)} via ${ping.path ?? '?'}`)));
    await context.output.line(summary, () =>
      `${String(summary.received)} of ${String(summary.sent)} came back; shortest ${formatDuration(summary.min_ms ?? 0)}, mean ${formatDuration(summary.avg_ms ?? 0)}, longest ${formatDuration(summary.max_ms ?? 0)}`);
  }
}
