import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { needed } from '../../cli/io/prompt.js';

export default class HypertyUnregister extends BaseCommand {
  static override summary = 'unregister a hyperty, and discard the messages in its inbox';
  static override args = { name: argument({ description: 'its name or address' }) };
  static override flags = { timeout: durationFlag({ description: 'time limit', default: 10_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(HypertyUnregister);
    const context = this.context(flags);
    const { name, discarded } = await withRuntime(context, { timeoutMs: flags.timeout }, async (runtime) => {
      const choices = async () => (await runtime.hyperties()).map((hyperty) => ({ name: `${hyperty.name}  ${hyperty.url}`, value: hyperty.name }));
      const which = await needed(context, 'NAME', args.name, choices);
      return { name: which, discarded: (await runtime.unregister(which)).discarded ?? 0 };
    });
    if (discarded > 0) context.output.note(`${String(discarded)} waiting messages were discarded`);
    await context.output.result({ name, discarded }, () => `${name} unregistered`);
  }
}
