import { string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { waitForRuntime } from '../../cli/daemons/runtime.js';
import { runtimeLine } from '../../cli/views.js';

export default class RuntimeWait extends BaseCommand {
  static override summary = 'wait until the running runtime is live';
  static override flags = {
    for: string({ description: 'status to wait for', options: ['live'], default: 'live' }),
    timeout: durationFlag({ description: 'time limit', default: 30_000 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(RuntimeWait);
    const context = this.context(flags);
    const status = await waitForRuntime(context, flags.timeout);
    await context.output.result(status, () => runtimeLine(status));
  }
}
