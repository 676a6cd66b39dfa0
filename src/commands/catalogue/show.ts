import { string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { claimsOf, readCatalogue } from '../../cli/catalogue.js';
import { needed } from '../../cli/io/prompt.js';

export default class CatalogueShow extends BaseCommand {
  static override summary = 'print a descriptor of a domain\'s catalogue';
  static override args = {
    type: argument({ description: 'hyperty, protocolstub, runtime, dataschema or idp-proxy' }),
    name: argument({ description: 'its name' }),
  };

  static override flags = {
    domain: string({ description: 'a name, host:port or URL (default: the domain that the runtime joins)' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(CatalogueShow);
    const context = this.context(flags);
    const type = await needed(context, 'TYPE', args.type);
    const descriptor = await readCatalogue(context, type, await needed(context, 'NAME', args.name), { domain: flags.domain, timeoutMs: flags.timeout });
    const { sourcePackage, signature, ...rest } = descriptor;
    await context.output.fields(descriptor, {
      ...rest,
      sourcePackage: sourcePackage === undefined ? undefined : 'included (see --json)',
      signature: signature === undefined || signature === '' ? 'none' : `says that it is by ${claimsOf(descriptor).keyId ?? 'nobody'} (see catalogue verify)`,
    });
  }
}
