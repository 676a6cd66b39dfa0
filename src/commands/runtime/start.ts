import { boolean, string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { startRuntime } from '../../cli/daemons/runtime.js';

export default class RuntimeStart extends BaseCommand {
  static override summary = 'start the runtime of this profile; returns when it is live';
  static override description = 'The domain and the user are remembered: the next start needs neither. When it doesn\'t become live, nothing is left running.';
  static override examples = ['<%= config.bin %> runtime start --domain localhost:9090 --user alice', '<%= config.bin %> --profile bob runtime start --user bob'];
  static override flags = {
    domain: string({ description: 'the domain to join: a name, host:port or URL (first time: localhost:9090)' }),
    user: string({ description: 'whose runtime it is (first time: the name you are logged in with)' }),
    foreground: boolean({ description: 'stay, with the log on stderr' }),
    wait: durationFlag({ description: 'how long it may take to be live', default: 10_000, aliases: ['timeout'] }),
    trust: string({ description: 'id of the publisher key of the domain that is to be believed (first time: the one that it shows)' }),
    p2p: boolean({ description: 'set up direct connections; --no-p2p: message nodes only', allowNo: true }),
  };

  override async run(): Promise<number> {
    const { flags } = await this.parse(RuntimeStart);
    const context = this.context(flags);
    context.output.progress('starting …');
    const input = { domain: flags.domain, user: flags.user, p2p: flags.p2p, trust: flags.trust, waitMs: flags.wait };
    return startRuntime(context, input, flags.foreground, (status) =>
      context.output.result(status, () => `${status.runtime} is live${status.user === undefined ? '' : ` for ${status.user}`} (pid ${String(status.pid)})`));
  }
}
