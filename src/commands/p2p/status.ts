import { boolean } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { p2pStatus, watchP2p } from '../../cli/p2p.js';
import { needed } from '../../cli/io/prompt.js';
import { changeLine, connectionFields } from '../../cli/views.js';

export default class P2pStatus extends BaseCommand {
  static override summary = 'print the status of the direct connection to the runtime that hosts an address';
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = {
    watch: boolean({ description: 'print every change of state with its reason, until Ctrl-C' }),
    timeout: durationFlag({ description: 'time limit for the answer (10s), or time to watch' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(P2pStatus);
    const context = this.context(flags);
    const address = await needed(context, 'ADDRESS', args.address);
    if (flags.watch) {
      await watchP2p(context, address, flags.timeout, (change) => context.output.line(change, () => changeLine(change)));
      return;
    }
    const connection = await p2pStatus(context, address, flags.timeout ?? 10_000);
    await context.output.fields(connection, connectionFields(connection));
  }
}
