import { boolean, string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { needed } from '../../cli/io/prompt.js';

export default class HypertyRegister extends BaseCommand {
  static override summary = 'register a hyperty and print its address';
  static override description = 'The hyperty stays registered, also after a restart, until `hyperty unregister`.';
  static override examples = ['<%= config.bin %> hyperty register in', '<%= config.bin %> hyperty register chat --resource chat --data-scheme comm'];
  static override args = { name: argument({ description: 'name within this runtime' }) };
  static override flags = {
    resource: string({ description: 'a resource that it offers, for searches', multiple: true, multipleNonGreedy: true }),
    'data-scheme': string({ description: 'kind of data object that it works with', multiple: true, multipleNonGreedy: true }),
    'no-p2p': boolean({ description: 'messages to it always go through the message node' }),
    timeout: durationFlag({ description: 'time limit', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(HypertyRegister);
    const context = this.context(flags);
    const name = await needed(context, 'NAME', args.name);
    const hyperty = await withRuntime(context, { timeoutMs: flags.timeout }, (runtime) =>
      runtime.register({ name, resources: flags.resource ?? [], dataSchemes: flags['data-scheme'] ?? [], ...(flags['no-p2p'] ? { p2p: false } : {}) }));
    await context.output.result(hyperty, () => hyperty.url);
  }
}
