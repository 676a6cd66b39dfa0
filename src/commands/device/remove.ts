import { argument, BaseCommand, durationFlag } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { removeDevice } from '../../cli/identity.js';

export default class DeviceRemove extends BaseCommand {
  static override summary = 'remove a machine of yours, because it is lost or not yours any more';
  static override description = 'The domain ends its session at once. Others refuse it as soon as they have seen a record of one of your other machines.';
  static override args = { device: argument({ description: 'its name, or its runtime\'s URL' }) };
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(DeviceRemove);
    const context = this.context(flags);
    const removed = await removeDevice(context, await needed(context, 'MACHINE', args.device), flags.timeout);
    await context.output.result(removed, () => `${removed.name} (${removed.runtime}) is removed`);
  }
}
