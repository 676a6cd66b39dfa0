import { boolean } from '@oclif/core/flags';
import { BaseCommand } from '../../cli/base-command.js';
import { checkProfile } from '../../cli/context.js';
import { printLog } from '../../cli/daemons/logs.js';

export default class RuntimeLogs extends BaseCommand {
  static override summary = 'print the log of this profile\'s runtime';
  static override flags = { follow: boolean({ char: 'f', description: 'follow the log until Ctrl-C' }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(RuntimeLogs);
    const context = this.context(flags);
    checkProfile(context);
    await printLog(context, flags.follow);
  }
}
