import { BaseCommand, argument } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { getSetting, keyChoices } from '../../cli/configuration.js';

export default class ConfigGet extends BaseCommand {
  static override summary = 'print a setting of this profile';
  static override args = { key: argument({ description: 'the setting' }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigGet);
    const context = this.context(flags);
    const { key, value } = await getSetting(context, await needed(context, 'KEY', args.key, keyChoices));
    await context.output.result({ key, value }, () => (Array.isArray(value) ? value.join(',') : String(value)));
  }
}
