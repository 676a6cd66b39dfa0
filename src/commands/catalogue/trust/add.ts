import { BaseCommand, argument, durationFlag } from '../../../cli/base-command.js';
import { needed } from '../../../cli/io/prompt.js';
import { addTrust, trustColumns } from '../../../cli/trust.js';

export default class CatalogueTrustAdd extends BaseCommand {
  static override summary = 'believe a publisher\'s key that a domain shows';
  static override description = 'Without a key id, the runtime believes all keys that the domain shows now, and no earlier ones.';
  static override examples = ['<%= config.bin %> catalogue trust add example.com'];
  static override args = {
    domain: argument({ description: 'the name of the domain' }),
    keyid: argument({ description: 'the id of one key (default: all keys that the domain shows)' }),
  };

  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(CatalogueTrustAdd);
    const context = this.context(flags);
    const added = await addTrust(context, await needed(context, 'DOMAIN', args.domain), args.keyid, flags.timeout);
    await context.output.list(added, trustColumns, 'no key was added');
  }
}
