import { boolean } from '@oclif/core/flags';
import { argument, BaseCommand, durationFlag } from '../../cli/base-command.js';
import { decideContact, safetyNumber } from '../../cli/contacts.js';
import { needed } from '../../cli/io/prompt.js';

export default class ContactVerify extends BaseCommand {
  static override summary = 'show the number by which you and a contact make sure that nobody stands between you';
  static override description = 'Both see the same number. Read it to each other by voice; if it is the same, note that with --same.';
  static override examples = ['<%= config.bin %> contact verify bob', '<%= config.bin %> contact verify bob --same'];
  static override args = { user: argument({ description: 'bob, bob@example.com or user://example.com/bob' }) };
  static override flags = {
    same: boolean({ description: 'note that the numbers are the same' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ContactVerify);
    const context = this.context(flags);
    const typed = await needed(context, 'USER', args.user);
    const { user, number } = await safetyNumber(context, typed, flags.timeout);
    const { verified } = flags.same === true ? await decideContact(context, 'verify', typed, { timeoutMs: flags.timeout }) : {};
    await context.output.result({ user, number, ...(verified === undefined ? {} : { verified }) }, () => [number, ...(verified === undefined ? [] : [`${user}'s key was compared`])]);
    if (verified === undefined) context.output.note(`does ${user} see the same number? protofly contact verify ${typed} --same`);
  }
}
