import { string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { listMembers, memberColumns } from '../../cli/members.js';

export default class DomainMembers extends BaseCommand {
  static override summary = 'list the users of a domain, and the keys that their names belong to';
  static override flags = {
    name: string({ description: 'domain of the server (default: the only one that runs)' }),
    timeout: durationFlag({ description: 'time limit', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(DomainMembers);
    const context = this.context(flags);
    await context.output.list(await listMembers(context, flags.name, flags.timeout), memberColumns, 'the domain has no users yet');
  }
}
