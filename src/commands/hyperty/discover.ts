import { string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { discover } from '../../cli/target.js';
import { recordColumns } from '../../cli/views.js';

export default class HypertyDiscover extends BaseCommand {
  static override summary = 'search a domain\'s registry for hyperties';
  static override description = 'Ends with 3 when there are none, with 4 when none is live.';
  static override flags = {
    user: string({ description: 'only hyperties of this user' }),
    name: string({ description: 'only hyperties with this name' }),
    resource: string({ description: 'only hyperties that offer this resource', multiple: true, multipleNonGreedy: true }),
    'data-scheme': string({ description: 'only hyperties that work with this kind of data object', multiple: true, multipleNonGreedy: true }),
    domain: string({ description: 'domain to search (default: the runtime\'s own)' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(HypertyDiscover);
    const context = this.context(flags);
    const records = await withRuntime(context, { timeoutMs: flags.timeout }, (runtime) =>
      discover(runtime, { user: flags.user, name: flags.name, resources: flags.resource, dataSchemes: flags['data-scheme'], domain: flags.domain }));
    await context.output.list(records, recordColumns, 'none');
  }
}
