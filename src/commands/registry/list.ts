import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { connectionColumns, hypertyColumns, stubColumns } from '../../cli/views.js';

export default class RegistryList extends BaseCommand {
  static override summary = 'list the hyperties, protostubs and direct connections of this runtime';
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(RegistryList);
    const { output, ...context } = this.context(flags);
    const [hyperties, protostubs, connections] = await withRuntime({ output, ...context }, { timeoutMs: flags.timeout }, (runtime) =>
      Promise.all([runtime.hyperties(), runtime.protostubs(), runtime.connections()]));
    await output.result({ hyperties, protostubs, connections }, () => [
      output.title('Hyperties'), ...output.table(hyperties, hypertyColumns), '',
      output.title('Protostubs'), ...output.table(protostubs, stubColumns), '',
      output.title('P2P connections'), ...output.table(connections, connectionColumns),
    ]);
  }
}
