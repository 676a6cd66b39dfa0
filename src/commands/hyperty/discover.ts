import { string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { discover } from '../../cli/target.js';
import { recordColumns } from '../../cli/views.js';

export default class HypertyDiscover extends BaseCommand {
  static override summary = 'search a domain\'s registry for hyperties';
  static override description = 'Exit 3 when there are none, 4 when none is live.';
  static override flags = {
    user: string({ description: 'of this user' }),
    name: string({ description: 'with this name' }),
    resource: string({ description: 'that offers this', multiple: true, multipleNonGreedy: true }),
    'data-scheme': string({ description: 'that works with this kind of data object', multiple: true, multipleNonGreedy: true }),
    domain: string({ description: 'in this domain; the own one where it isn\'t given' }),
    timeout: durationFlag({ description: 'how long the answer may take', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(HypertyDiscover);
    const context = this.context(flags);
    const records = await withRuntime(context, { timeoutMs: flags.timeout }, (runtime) =>
      discover(runtime, { user: flags.user, name: flags.name, resources: flags.resource, dataSchemes: flags['data-scheme'], domain: flags.domain }));
    await context.output.list(records, recordColumns, 'none');
  }
}
