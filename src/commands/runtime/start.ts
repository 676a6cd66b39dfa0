import { boolean, string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { startRuntime } from '../../cli/daemons/runtime.js';
import { secretFrom } from '../../cli/io/secret.js';

export default class RuntimeStart extends BaseCommand {
  static override summary = 'start the runtime of this profile; returns when it is live';
  static override description = 'Domain, user and certificate authorities are remembered for the next start. A runtime that doesn\'t become live is stopped again.';
  static override examples = ['<%= config.bin %> runtime start --domain localhost:9090 --user alice', '<%= config.bin %> --profile bob runtime start --user bob'];
  static override flags = {
    domain: string({ description: 'the domain to join: a name, host:port or URL (first time: localhost:9090)' }),
    user: string({ description: 'user of the runtime (first time: your login name)' }),
    invite: string({ description: 'the invitation of a domain (- reads it from stdin): says domain, user and publisher key', helpValue: 'TEXT', exclusive: ['domain', 'user', 'trust', 'device'] }),
    device: string({ description: 'the code of another machine of yours (- reads it from stdin), from its device add', helpValue: 'CODE', exclusive: ['domain', 'user', 'trust', 'invite'] }),
    machine: string({ description: 'your name for this machine (default: its host name)', helpValue: 'NAME' }),
    foreground: boolean({ description: 'stay in the foreground, with the log on stderr' }),
    wait: durationFlag({ description: 'time limit until it is live', default: 10_000, aliases: ['timeout'] }),
    trust: string({ description: 'id of the domain\'s publisher key to believe (first time: the key that the domain shows)' }),
    ca: string({ description: 'file with certificate authorities (PEM) to trust besides the usual ones' }),
    p2p: boolean({ description: 'set up direct connections; --no-p2p: message nodes only', allowNo: true }),
  };

  override async run(): Promise<number> {
    const { flags } = await this.parse(RuntimeStart);
    const context = this.context(flags);
    context.output.progress('starting …');
    const input = { domain: flags.domain, user: flags.user, p2p: flags.p2p, trust: flags.trust, ca: flags.ca, invite: await secretFrom(context, flags.invite), device: await secretFrom(context, flags.device), machine: flags.machine, waitMs: flags.wait };
    return startRuntime(context, input, flags.foreground, (status) =>
      context.output.result(status, () => `${status.runtime} is live${status.user === undefined ? '' : ` for ${status.user}`} (pid ${String(status.pid)})`));
  }
}
