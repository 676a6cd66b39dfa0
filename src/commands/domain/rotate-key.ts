import { string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { rotateKey } from '../../cli/daemons/domain.js';

export default class DomainRotateKey extends BaseCommand {
  static override summary = 'sign a domain\'s catalogue with a new key that the old one endorses';
  static override examples = ['<%= config.bin %> domain rotate-key', '<%= config.bin %> domain rotate-key --name example.com --overlap 7d'];
  static override flags = {
    name: string({ description: 'domain of the server (default: the only one that runs)' }),
    overlap: string({ description: 'how long the old key stays valid; 0 ends it at once', default: '30d', helpValue: '30d' }),
    timeout: durationFlag({ description: 'time limit', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(DomainRotateKey);
    const context = this.context(flags);
    const rotated = await rotateKey(context, flags.name, flags.overlap, flags.timeout);
    const { domain, keyId, previousKeyId, previousUntil } = rotated;
    await context.output.result(rotated, () => `${domain} signs with ${keyId}; ${previousKeyId} counts until ${previousUntil}`);
  }
}
