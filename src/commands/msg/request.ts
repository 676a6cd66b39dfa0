import { boolean, string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { needed } from '../../cli/io/prompt.js';
import { requestResponse } from '../../cli/messages/request.js';

export default class MsgRequest extends BaseCommand {
  static override summary = 'ask a program something and print its answer\'s value';
  static override description = 'Ends with 3 when there is no such address, 4 when no program is attached to it, 5 when no answer comes in time, 6 when it refuses.';
  static override examples = ['<%= config.bin %> msg request bob/upper hello'];
  static override strict = false;
  static override usage = 'msg request ADDRESS [TEXT...] [FLAGS]';
  static override args = {
    address: argument({ description: 'an address, user, user/name or user/name@domain' }),
    text: argument({ description: 'words of the value; `-` is all of stdin' }),
  };

  static override flags = {
    from: string({ description: 'name of the hyperty that sends (default: the only one)' }),
    type: string({ description: 'the message\'s type', default: 'execute' }),
    'json-body': boolean({ description: 'parse the text as JSON, and send its value' }),
    'no-p2p': boolean({ description: 'send through the message node, never directly' }),
    timeout: durationFlag({ description: 'time limit for the answer', default: 10_000 }),
  };

  override async run(): Promise<void> {
    const { argv, flags } = await this.parse(MsgRequest);
    const context = this.context(flags);
    const [given, ...words] = argv as string[];
    const address = await needed(context, 'ADDRESS', given);
    const { body } = await requestResponse(context, {
      address, text: words, from: flags.from, type: flags.type, jsonBody: flags['json-body'], p2p: !flags['no-p2p'], timeoutMs: flags.timeout,
    });
    await context.output.result({ code: body.code, value: body.value ?? null }, () => (typeof body.value === 'string' ? body.value : JSON.stringify(body.value ?? null)));
  }
}
