import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { connectP2p } from '../../cli/p2p.js';
import { needed } from '../../cli/io/prompt.js';
import { connectionFields } from '../../cli/views.js';

export default class P2pConnect extends BaseCommand {
  static override summary = 'set up the direct connection to the runtime that hosts an address; returns when it is live';
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = { timeout: durationFlag({ description: 'time limit', default: 30_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(P2pConnect);
    const context = this.context(flags);
    const connection = await connectP2p(context, await needed(context, 'ADDRESS', args.address), flags.timeout);
    await context.output.fields(connection, connectionFields(connection));
  }
}
