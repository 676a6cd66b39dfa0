import { boolean, string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { addDevice } from '../../cli/identity.js';
import { qrLines } from '../../cli/io/qr.js';
import { isLocalUrl } from '../../cli/members.js';

export default class DeviceAdd extends BaseCommand {
  static override summary = 'make a code with which another machine becomes yours';
  static override description = 'The code is good for one machine, until it expires. This runtime has to run when the other one starts.';
  static override examples = ['<%= config.bin %> device add --qr'];
  static override flags = {
    expires: durationFlag({ description: 'how long the code is good', default: 600_000, helpValue: '10m' }),
    'domain-url': string({ description: 'URL at which the other machine reaches the domain (default: the domain\'s own)', helpValue: 'URL' }),
    qr: boolean({ description: 'also show it as a QR code' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(DeviceAdd);
    const context = this.context(flags);
    const made = await addDevice(context, flags.expires, flags['domain-url'], flags.timeout);
    if (isLocalUrl(made.url)) context.output.note(`the code names ${made.url}, which leads nowhere on other machines: give --domain-url`);
    const picture = flags.qr ? await qrLines(made.code) : [];
    await context.output.result(made, () => [made.code, ...picture]);
    context.output.note(`good until ${made.expires}; on the other machine: protofly runtime start --device ${flags.qr ? 'TEXT' : made.code.slice(0, 12)}…`);
  }
}
