import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { hypertyColumns } from '../../cli/views.js';

export default class HypertyList extends BaseCommand {
  static override summary = 'list the hyperties of this runtime';
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(HypertyList);
    const context = this.context(flags);
    const hyperties = await withRuntime(context, { timeoutMs: flags.timeout }, (runtime) => runtime.hyperties());
    await context.output.list(hyperties, hypertyColumns, 'no hyperties are registered');
  }
}
