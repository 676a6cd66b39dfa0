import { BaseCommand } from '../../cli/base-command.js';
import { settingsPath } from '../../cli/settings.js';

export default class ConfigPath extends BaseCommand {
  static override summary = 'print the paths of the settings, state, socket and log of this profile';

  override async run(): Promise<void> {
    const { flags } = await this.parse(ConfigPath);
    const { output, places } = this.context(flags);
    const path = settingsPath(places);
    await output.result({ settings: path, state: places.state, socket: places.socket, log: places.log }, () => path);
  }
}
