import { BaseCommand, argument } from '../../cli/base-command.js';
import { addDomain } from '../../cli/daemons/known-domains.js';
import { needed } from '../../cli/io/prompt.js';

export default class DomainAdd extends BaseCommand {
  static override summary = 'add the base URL of a domain that DNS doesn\'t know';
  static override examples = ['<%= config.bin %> domain add example.com https://mn.example.com:8443'];
  static override args = {
    name: argument({ description: 'the domain' }),
    url: argument({ description: 'its base URL' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(DomainAdd);
    const context = this.context(flags);
    const added = await addDomain(context, await needed(context, 'NAME', args.name), await needed(context, 'URL', args.url));
    await context.output.result(added, () => `${added.name} is at ${added.url}`);
  }
}
