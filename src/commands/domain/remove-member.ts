import { string } from '@oclif/core/flags';
import { argument, BaseCommand, durationFlag } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { removeMember } from '../../cli/members.js';

export default class DomainRemoveMember extends BaseCommand {
  static override summary = 'remove a user from a domain: ends the sessions of all his machines';
  static override description = 'His name stays taken until he is invited again.';
  static override args = { user: argument({ description: 'name of the user' }) };
  static override flags = {
    name: string({ description: 'domain of the server (default: the only one that runs)' }),
    timeout: durationFlag({ description: 'time limit', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(DomainRemoveMember);
    const context = this.context(flags);
    const removed = await removeMember(context, flags.name, await needed(context, 'USER', args.user), flags.timeout);
    await context.output.result(removed, () => `${removed.user} is removed from ${removed.domain}`);
  }
}
