import { string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { verificationFields, verifyPackage } from '../../cli/trust.js';

export default class CatalogueVerify extends BaseCommand {
  static override summary = 'have the runtime fetch a package anew and check who signed it, and whether it would be deployed';
  static override examples = ['<%= config.bin %> catalogue verify protocolstub default --domain example.com'];
  static override args = {
    type: argument({ description: 'hyperty, protocolstub, runtime, dataschema or idp-proxy' }),
    name: argument({ description: 'its name' }),
  };

  static override flags = {
    domain: string({ description: 'the name of a domain; the one that the runtime is in where it isn\'t given' }),
    timeout: durationFlag({ description: 'how long the answer may take', default: 30_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(CatalogueVerify);
    const context = this.context(flags);
    const type = await needed(context, 'TYPE', args.type);
    const verification = await verifyPackage(context, { type, name: await needed(context, 'NAME', args.name), domain: flags.domain }, flags.timeout);
    await context.output.fields(verification, verificationFields(verification));
  }
}
