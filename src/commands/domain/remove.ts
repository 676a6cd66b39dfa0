import { BaseCommand, argument } from '../../cli/base-command.js';
import { listDomains, removeDomain } from '../../cli/daemons/known-domains.js';
import { needed } from '../../cli/io/prompt.js';

export default class DomainRemove extends BaseCommand {
  static override summary = 'forget the base URL of a domain';
  static override args = { name: argument({ description: 'the domain' }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(DomainRemove);
    const context = this.context(flags);
    const choices = async () => (await listDomains(context)).map(({ name, url }) => ({ name: `${name}  ${url}`, value: name }));
    const removed = await removeDomain(context, await needed(context, 'NAME', args.name, choices));
    await context.output.result(removed, () => `${removed.name} forgotten`);
  }
}
