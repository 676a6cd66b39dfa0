import { BaseCommand } from '../../cli/base-command.js';
import { listDomains } from '../../cli/daemons/known-domains.js';

export default class DomainList extends BaseCommand {
  static override summary = 'list the domains whose base URL was added';

  override async run(): Promise<void> {
    const { flags } = await this.parse(DomainList);
    const context = this.context(flags);
    await context.output.list(await listDomains(context), [
      { title: 'DOMAIN', get: (row) => row.name },
      { title: 'URL', get: (row) => row.url },
    ], 'no domains were added');
  }
}
