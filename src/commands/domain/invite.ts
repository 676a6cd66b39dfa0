import { boolean, string } from '@oclif/core/flags';
import { argument, BaseCommand, durationFlag } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { domainStatus } from '../../cli/daemons/domain.js';
import { qrLines } from '../../cli/io/qr.js';
import { inviteUser, isLocalUrl } from '../../cli/members.js';

export default class DomainInvite extends BaseCommand {
  static override summary = 'invite a user to a domain: prints the text that he starts his runtime with';
  static override description = 'The text is good for one user, once, until it expires. Who has it gets the name: give it to nobody else. An invitation of a user who has lost his key gives his name to another key.';
  static override examples = ['<%= config.bin %> domain invite bob', '<%= config.bin %> domain invite bob --expires 2h --qr'];
  static override args = { user: argument({ description: 'name of the user to be' }) };
  static override flags = {
    name: string({ description: 'domain of the server (default: the only one that runs)' }),
    expires: string({ description: 'how long the invitation is good', default: '1d', helpValue: '1d' }),
    qr: boolean({ description: 'also show it as a QR code' }),
    timeout: durationFlag({ description: 'time limit', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(DomainInvite);
    const context = this.context(flags);
    const user = await needed(context, 'USER', args.user);
    const invitation = await inviteUser(context, flags.name, user, flags.expires, flags.timeout);
    const { publicUrl, url } = await domainStatus(context, invitation.domain);
    if (isLocalUrl(publicUrl ?? url)) context.output.note(`the invitation names ${publicUrl ?? url}, which leads nowhere on other machines: give domain start a --public-url`);
    const picture = flags.qr ? await qrLines(invitation.invite) : [];
    await context.output.result(invitation, () => [invitation.invite, ...picture]);
    context.output.note(`good until ${invitation.expires}; ${user} types: protofly runtime start --invite ${flags.qr ? 'TEXT' : invitation.invite.slice(0, 12)}…`);
  }
}
