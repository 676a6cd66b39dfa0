import { boolean, integer, string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { tailMessages } from '../../cli/messages/tail.js';

export default class MsgTail extends BaseCommand {
  static override summary = 'print messages to this runtime\'s hyperties as they come, after those in the inbox';
  static override description = 'A message is taken when stdout has accepted it. Other messages go back to the inbox.';
  static override examples = ['<%= config.bin %> msg tail in', '<%= config.bin %> msg tail in --raw --count 1000000 | sort -c -n', '<%= config.bin %> msg tail in --save downloads'];
  static override strict = false;
  static override usage = 'msg tail [NAME...] [FLAGS]';
  static override args = { name: argument({ description: 'hyperties, by name or address (default: all)' }) };
  static override flags = {
    raw: boolean({ description: 'print only the value: a string as it is, anything else as JSON', exclusive: ['json'] }),
    count: integer({ description: 'end after this number of messages; the rest stay in the inbox', min: 0 }),
    timeout: durationFlag({ description: 'end after that time, with exit 5' }),
    save: string({ description: 'save received files in this folder, and print a line for each', helpValue: 'DIR' }),
  };

  override async run(): Promise<void> {
    const { argv, flags } = await this.parse(MsgTail);
    await tailMessages(this.context(flags), { names: argv as string[], raw: flags.raw, count: flags.count, timeoutMs: flags.timeout, save: flags.save });
  }
}
