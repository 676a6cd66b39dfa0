import { BaseCommand } from '../cli/base-command.js';
import type { Check } from '../cli/doctor/check.js';
import { examine } from '../cli/doctor/checks.js';

export default class Doctor extends BaseCommand {
  static override summary = 'check whether everything is in place; prints a line for each check, with advice';
  static override description = 'Ends with 0 if no check failed, with 1 otherwise.';

  override async run(): Promise<number> {
    const { flags } = await this.parse(Doctor);
    const context = this.context(flags);
    context.output.progress('looking …');
    const examination = await examine(context);
    await context.output.result(examination, () => context.output.table<Check>(examination.checks, [
      { title: 'CHECK', get: (row) => row.check },
      { title: 'VERDICT', get: (row) => row.verdict },
      { title: 'WHAT IS THERE', get: (row) => (row.verdict === 'ok' || row.next === undefined ? row.detail : `${row.detail} -> ${row.next}`) },
    ]));
    return examination.ok ? 0 : 1;
  }
}
