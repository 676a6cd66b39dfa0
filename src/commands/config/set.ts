import { BaseCommand, argument } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { keyChoices, setSetting } from '../../cli/configuration.js';

export default class ConfigSet extends BaseCommand {
  static override summary = 'change a setting of this profile; a runtime uses it after its next start';
  static override args = { key: argument({ description: 'the setting' }), value: argument({ description: 'its new value' }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigSet);
    const context = this.context(flags);
    const { key, value } = await setSetting(context, await needed(context, 'KEY', args.key, keyChoices), await needed(context, 'VALUE', args.value));
    await context.output.result({ key, value }, () => `${key} = ${String(value)}`);
  }
}
