import { string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { verificationFields, verifyPackage } from '../../cli/trust.js';

export default class CatalogueVerify extends BaseCommand {
  static override summary = 'fetch a package anew, check its signature, and say if the runtime would deploy it';
  static override examples = ['<%= config.bin %> catalogue verify protocolstub default --domain example.com'];
  static override args = {
    type: argument({ description: 'hyperty, protocolstub, runtime, dataschema or idp-proxy' }),
    name: argument({ description: 'its name' }),
  };

  static override flags = {
    domain: string({ description: 'name of a domain (default: the runtime\'s own)' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 30_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(CatalogueVerify);
    const context = this.context(flags);
    const type = await needed(context, 'TYPE', args.type);
    const verification = await verifyPackage(context, { type, name: await needed(context, 'NAME', args.name), domain: flags.domain }, flags.timeout);
    await context.output.fields(verification, verificationFields(verification));
  }
}
