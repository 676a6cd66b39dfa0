import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { findRecord, neededAddress } from '../../cli/target.js';
import { recordFields } from '../../cli/views.js';

export default class HypertyShow extends BaseCommand {
  static override summary = 'print the registry record of an address';
  static override examples = ['<%= config.bin %> hyperty show bob/in'];
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(HypertyShow);
    const context = this.context(flags);
    const record = await withRuntime(context, { timeoutMs: flags.timeout }, async (runtime) =>
      findRecord(context, runtime, await neededAddress(context, runtime, args.address)));
    await context.output.fields(record, recordFields(record));
  }
}
