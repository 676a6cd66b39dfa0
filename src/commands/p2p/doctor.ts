import { boolean } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { diagnoseP2p, isGood } from '../../cli/doctor/p2p.js';
import { needed } from '../../cli/io/prompt.js';
import { diagnosisFields } from '../../cli/views.js';

export default class P2pDoctor extends BaseCommand {
  static override summary = 'find out what prevents a direct connection: looks at both sides, and tries one';
  static override description = 'Ends with 0 if there is a connection, directly or through a relay, or if nothing was found that prevents one; with 4 otherwise.';
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = {
    timeout: durationFlag({ description: 'time limit', default: 45_000 }),
    connect: boolean({ description: 'try a set-up; --no-connect: make no connection', allowNo: true, default: true }),
  };

  override async run(): Promise<number> {
    const { args, flags } = await this.parse(P2pDoctor);
    const context = this.context(flags);
    const diagnosis = await diagnoseP2p(context, await needed(context, 'ADDRESS', args.address), { connect: flags.connect, timeoutMs: flags.timeout });
    await context.output.fields(diagnosis, diagnosisFields(diagnosis));
    return isGood(diagnosis) ? 0 : 4;
  }
}
