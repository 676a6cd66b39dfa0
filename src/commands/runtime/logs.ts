import { boolean } from '@oclif/core/flags';
import { BaseCommand } from '../../cli/base-command.js';
import { checkProfile } from '../../cli/context.js';
import { printLog } from '../../cli/daemons/logs.js';

export default class RuntimeLogs extends BaseCommand {
  static override summary = 'what the runtime of this profile has logged';
  static override flags = { follow: boolean({ char: 'f', description: 'and what it logs from now on, until Ctrl-C' }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(RuntimeLogs);
    const context = this.context(flags);
    checkProfile(context);
    await printLog(context, flags.follow);
  }
}
