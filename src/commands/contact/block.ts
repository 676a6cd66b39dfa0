import { argument, BaseCommand, durationFlag } from '../../cli/base-command.js';
import { decideContact } from '../../cli/contacts.js';
import { needed } from '../../cli/io/prompt.js';

export default class ContactBlock extends BaseCommand {
  static override summary = 'take nothing from a user any more';
  static override args = { user: argument({ description: 'bob, bob@example.com or user://example.com/bob' }) };
  static override flags = {
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ContactBlock);
    const context = this.context(flags);
    const contact = await decideContact(context, 'block', await needed(context, 'USER', args.user), { timeoutMs: flags.timeout });
    await context.output.result(contact, () => `${contact.user} is blocked`);
  }
}
