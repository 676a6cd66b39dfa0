import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { contactColumns, contactRows, listContacts } from '../../cli/contacts.js';

export default class ContactList extends BaseCommand {
  static override summary = 'list the users whom this runtime has met, and those who have knocked';
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(ContactList);
    const context = this.context(flags);
    await context.output.list(contactRows(await listContacts(context, flags.timeout)), contactColumns, 'nobody was met yet');
  }
}
