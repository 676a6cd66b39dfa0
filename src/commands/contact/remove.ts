import { argument, BaseCommand, durationFlag } from '../../cli/base-command.js';
import { decideContact } from '../../cli/contacts.js';
import { needed } from '../../cli/io/prompt.js';

export default class ContactRemove extends BaseCommand {
  static override summary = 'make a contact, or a blocked user, one like any other';
  static override args = { user: argument({ description: 'bob, bob@example.com or user://example.com/bob' }) };
  static override flags = {
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ContactRemove);
    const context = this.context(flags);
    const contact = await decideContact(context, 'remove', await needed(context, 'USER', args.user), { timeoutMs: flags.timeout });
    await context.output.result(contact, () => `${contact.user} is no contact, and not blocked`);
  }
}
