import { string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { listCatalogue } from '../../cli/catalogue.js';

export default class CatalogueList extends BaseCommand {
  static override summary = 'list the entries of a domain\'s catalogue';
  static override description = 'SIGNED BY is the entry\'s own claim; `catalogue verify` checks it.';
  static override args = { type: argument({ description: 'hyperty, protocolstub, runtime, dataschema or idp-proxy (default: all)' }) };
  static override flags = {
    domain: string({ description: 'a name, host:port or URL (default: the domain that the runtime joins)' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(CatalogueList);
    const context = this.context(flags);
    const entries = await listCatalogue(context, args.type, { domain: flags.domain, timeoutMs: flags.timeout });
    await context.output.list(entries, [
      { title: 'TYPE', get: (row) => row.type },
      { title: 'NAME', get: (row) => row.name },
      { title: 'VERSION', get: (row) => row.version },
      { title: 'HASH', get: (row) => row.hash?.slice('sha256-'.length, 'sha256-'.length + 10) },
      { title: 'SIGNED BY', get: (row) => row.keyId },
    ], 'the catalogue is empty');
  }
}
