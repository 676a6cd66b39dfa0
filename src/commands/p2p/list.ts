import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { connectionColumns } from '../../cli/views.js';

export default class P2pList extends BaseCommand {
  static override summary = 'list the direct connections of this runtime';
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(P2pList);
    const context = this.context(flags);
    const connections = await withRuntime(context, { timeoutMs: flags.timeout }, (runtime) => runtime.connections());
    await context.output.list(connections, connectionColumns, 'there are no direct connections');
  }
}
