import { string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { stopDomain } from '../../cli/daemons/domain.js';

export default class DomainStop extends BaseCommand {
  static override summary = 'stop a domain server that runs on this machine';
  static override flags = {
    name: string({ description: 'domain of the server (default: the only one that runs)' }),
    timeout: durationFlag({ description: 'time limit', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(DomainStop);
    const context = this.context(flags);
    const { domain, pid } = await stopDomain(context, flags.name, flags.timeout);
    await context.output.result({ domain, pid, stopped: true }, () => `domain ${domain} stopped`);
  }
}
