import { string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { publish } from '../../cli/publish.js';

export default class CataloguePublish extends BaseCommand {
  static override summary = 'offer a descriptor, with its code, in the catalogue of a domain server on this machine';
  static override description = 'The code is --source, or the descriptor\'s sourcePackage, or the file beside it that its sourcePackageURL names.';
  static override examples = ['<%= config.bin %> catalogue publish stub.descriptor.json --source stub.js'];
  static override args = { file: argument({ description: 'the descriptor (JSON)' }) };
  static override flags = {
    source: string({ description: 'file of the code' }),
    name: string({ description: 'domain of the server (default: the only one that runs)', helpValue: 'DOMAIN' }),
    timeout: durationFlag({ description: 'time limit', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(CataloguePublish);
    const context = this.context(flags);
    const file = await needed(context, 'FILE', args.file);
    const published = await publish(context, { file, source: flags.source, domain: flags.name, timeoutMs: flags.timeout });
    const { domain, type, name, version, hash, keyId } = published;
    await context.output.fields(published, { domain, type, name, version, hash, key: keyId });
  }
}
