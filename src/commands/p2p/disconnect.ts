import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { disconnectP2p } from '../../cli/p2p.js';
import { needed } from '../../cli/io/prompt.js';
import { connectionFields } from '../../cli/views.js';

export default class P2pDisconnect extends BaseCommand {
  static override summary = 'end the direct connection to the runtime that hosts an address';
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = { timeout: durationFlag({ description: 'time limit', default: 10_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(P2pDisconnect);
    const context = this.context(flags);
    const connection = await disconnectP2p(context, await needed(context, 'ADDRESS', args.address), flags.timeout);
    await context.output.fields(connection, connectionFields(connection));
  }
}
