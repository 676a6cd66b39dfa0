import { BaseCommand, durationFlag } from '../../../cli/base-command.js';
import { listTrust, trustColumns } from '../../../cli/trust.js';

export default class CatalogueTrustList extends BaseCommand {
  static override summary = 'list the publishers\' keys that this runtime believes';
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(CatalogueTrustList);
    const context = this.context(flags);
    await context.output.list(await listTrust(context, flags.timeout), trustColumns, 'no publisher is believed yet');
  }
}
