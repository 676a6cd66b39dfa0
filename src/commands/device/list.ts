import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { deviceColumns, listDevices } from '../../cli/identity.js';

export default class DeviceList extends BaseCommand {
  static override summary = 'list your machines';
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(DeviceList);
    const context = this.context(flags);
    await context.output.list(await listDevices(context, flags.timeout), deviceColumns, 'you have no machines yet');
  }
}
