import { boolean } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import type { RuntimeStatus as RuntimeStatusDocument } from '../../client/documents.js';
import { withRuntime } from '../../cli/connect.js';
import { watchRuntime } from '../../cli/daemons/runtime.js';
import { runtimeFields, runtimeLine } from '../../cli/views.js';

export default class RuntimeStatus extends BaseCommand {
  static override summary = 'print the status of this profile\'s runtime';
  static override flags = {
    watch: boolean({ description: 'print a line at each change, until Ctrl-C' }),
    timeout: durationFlag({ description: 'time limit for the answer (10s), or time to watch' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(RuntimeStatus);
    const context = this.context(flags);
    if (flags.watch) {
      let before: RuntimeStatusDocument | undefined;
      await watchRuntime(context, flags.timeout, async (status) => {
        await context.output.line(status, () => runtimeLine(status, before));
        before = status;
      });
      return;
    }
    const status = await withRuntime(context, { timeoutMs: flags.timeout ?? 10_000 }, (runtime) => runtime.status());
    await context.output.fields(status, runtimeFields(status));
  }
}
