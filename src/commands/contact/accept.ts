import { string } from '@oclif/core/flags';
import { argument, BaseCommand, durationFlag } from '../../cli/base-command.js';
import { decideContact } from '../../cli/contacts.js';
import { needed } from '../../cli/io/prompt.js';

export default class ContactAccept extends BaseCommand {
  static override summary = 'take messages of a user as those of a contact';
  static override description = 'Also accepts who has knocked. A user who shows another key than before is accepted with --new-key alone: ask him for the key that his whoami shows.';
  static override args = { user: argument({ description: 'bob, bob@example.com or user://example.com/bob' }) };
  static override flags = {
    'new-key': string({ description: 'also believe the other key that he has shown since: its first 16 digits or more', helpValue: 'KEY' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ContactAccept);
    const context = this.context(flags);
    const contact = await decideContact(context, 'accept', await needed(context, 'USER', args.user), { newKey: flags['new-key'], timeoutMs: flags.timeout });
    await context.output.result(contact, () => `${contact.user} is a contact`);
  }
}
