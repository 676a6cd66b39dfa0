import { BaseCommand } from '../../cli/base-command.js';
import { listSettings } from '../../cli/configuration.js';

export default class ConfigList extends BaseCommand {
  static override summary = 'print the settings of this profile';

  override async run(): Promise<void> {
    const { flags } = await this.parse(ConfigList);
    const context = this.context(flags);
    const rows = await listSettings(context);
    const columns = [{ title: 'KEY', get: (row: (typeof rows)[number]) => row.key }, { title: 'VALUE', get: (row: (typeof rows)[number]) => row.value }, { title: 'WHAT', get: (row: (typeof rows)[number]) => row.what }];
    await context.output.result(Object.fromEntries(rows.filter(({ value }) => value !== undefined).map(({ key, value }) => [key, value])), () => context.output.table(rows, columns));
  }
}
