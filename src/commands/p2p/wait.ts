import { string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { waitForP2p } from '../../cli/p2p.js';
import { needed } from '../../cli/io/prompt.js';

export default class P2pWait extends BaseCommand {
  static override summary = 'wait until the direct connection is live, or until it has ended';
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = {
    until: string({ description: 'status to wait for', options: ['live', 'disconnected'], default: 'live' }),
    timeout: durationFlag({ description: 'time limit', default: 30_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(P2pWait);
    const context = this.context(flags);
    const address = await needed(context, 'ADDRESS', args.address);
    const until = flags.until === 'live' ? 'live' : 'disconnected';
    const connection = await waitForP2p(context, address, until, flags.timeout);
    await context.output.result({ address, status: connection?.status ?? 'disconnected', ...(connection === undefined ? {} : { connection }) }, () => `${address} ${until}`);
  }
}
