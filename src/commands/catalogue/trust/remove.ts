import { BaseCommand, argument, durationFlag } from '../../../cli/base-command.js';
import { needed } from '../../../cli/io/prompt.js';
import { removeTrust, trustColumns } from '../../../cli/trust.js';

export default class CatalogueTrustRemove extends BaseCommand {
  static override summary = 'forget the publisher\'s keys of a domain; the keys that it shows next are believed as at first';
  static override args = { domain: argument({ description: 'the name of the domain' }) };
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(CatalogueTrustRemove);
    const context = this.context(flags);
    const removed = await removeTrust(context, await needed(context, 'DOMAIN', args.domain), flags.timeout);
    await context.output.list(removed, trustColumns, 'no key was forgotten');
  }
}
