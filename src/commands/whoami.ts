import { BaseCommand, durationFlag } from '../cli/base-command.js';
import { userFields, whoami } from '../cli/identity.js';

export default class Whoami extends BaseCommand {
  static override summary = 'show the user of this runtime, and the keys by which others know both';
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Whoami);
    const context = this.context(flags);
    const info = await whoami(context, flags.timeout);
    await context.output.fields(info, userFields(info));
  }
}
