import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { stopRuntime } from '../../cli/daemons/runtime.js';

export default class RuntimeStop extends BaseCommand {
  static override summary = 'stop the runtime of this profile; returns when its process is gone';
  static override flags = { timeout: durationFlag({ description: 'time limit', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(RuntimeStop);
    const context = this.context(flags);
    const { runtime, pid } = await stopRuntime(context, flags.timeout);
    await context.output.result({ runtime, pid, stopped: true }, () => `${runtime} stopped`);
  }
}
