import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { withRuntime } from '../../cli/connect.js';
import { findAddress, neededAddress } from '../../cli/target.js';

export default class RegistryResolve extends BaseCommand {
  static override summary = 'show the route that a message would take now, step by step';
  static override description = 'Nothing is sent, and no protostub is deployed.';
  static override args = { address: argument({ description: 'an address, user, user/name or user/name@domain' }) };
  static override flags = { timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(RegistryResolve);
    const context = this.context(flags);
    const { output } = context;
    const resolution = await withRuntime(context, { timeoutMs: flags.timeout }, async (runtime) =>
      runtime.resolve(await findAddress(context, runtime, await neededAddress(context, runtime, args.address))));
    await output.result(resolution, () => [
      ...output.table(resolution.steps, [{ title: 'STEP', get: (row) => row.step }, { title: 'RESULT', get: (row) => row.result }]), '',
      `${resolution.address} ${output.title(resolution.path)}${resolution.stub === undefined ? '' : ` through ${resolution.stub}`}`,
    ]);
  }
}
