import { boolean, option, string } from '@oclif/core/flags';
import { BaseCommand, argument, durationFlag } from '../../cli/base-command.js';
import { sendFiles } from '../../cli/files/send-files.js';
import { needed } from '../../cli/io/prompt.js';
import { SENDABLE, sendMessages } from '../../cli/messages/send.js';
import { SPLITS } from '../../cli/messages/split.js';
import { ProtoflyError } from '../../protocol/index.js';

export default class MsgSend extends BaseCommand {
  static override summary = 'send a message, or one for each line of stdin; ends when the other side has them';
  static override description = 'Words are one message. Without words, or with `-`, each line of stdin is a message.';
  static override examples = ['<%= config.bin %> msg send bob/in hello', '<%= config.bin %> msg send bob/in --file report.pdf', 'seq 1000 | <%= config.bin %> msg send bob/in -', '<%= config.bin %> msg send bob/in --json-body \'{"n": 1}\''];
  static override strict = false;
  static override usage = 'msg send ADDRESS [TEXT...] [FLAGS]';
  static override args = {
    address: argument({ description: 'an address, user, user/name or user/name@domain' }),
    text: argument({ description: 'words of one message; without words, or with `-`, stdin' }),
  };

  static override flags = {
    from: string({ description: 'name of the hyperty that sends (default: the only one)' }),
    type: string({ description: `the message's type: ${SENDABLE.join(', ')}`, default: 'create' }),
    split: option({ options: SPLITS })({ description: 'how stdin becomes messages', default: 'line' }),
    'json-body': boolean({ description: 'parse the text as JSON, and send its value' }),
    'require-direct': boolean({ description: 'send only over a direct connection, otherwise end with 7' }),
    'no-p2p': boolean({ description: 'send through the message node, never directly' }),
    store: boolean({ description: 'keep messages that can\'t be delivered now on disk, for a week at most: at the receiver\'s domain, or here', exclusive: ['file', 'require-direct'] }),
    all: boolean({ description: 'send to the name on each connected machine of its user', exclusive: ['file'] }),
    receipt: boolean({ description: 'print a JSON line for each message with its outcome' }),
    file: string({ description: 'send a file (may be repeated; `-` is stdin); goes on where an earlier attempt stopped', multiple: true, multipleNonGreedy: true, helpValue: 'F', exclusive: ['type', 'split', 'json-body', 'receipt'] }),
    name: string({ description: 'with --file: name of the file for the receiver', dependsOn: ['file'] }),
    timeout: durationFlag({ description: 'longest time without a receipt (30s)' }),
  };

  override async run(): Promise<void> {
    const { argv, flags } = await this.parse(MsgSend);
    const context = this.context(flags);
    const [given, ...words] = argv as string[];
    const address = await needed(context, 'ADDRESS', given);
    if (flags.file !== undefined) {
      if (words.length > 0) throw new ProtoflyError('E_USAGE', '--file and a message exclude each other', { hint: 'send them one after another' });
      await sendFiles(context, {
        address, files: flags.file, name: flags.name, from: flags.from, timeoutMs: flags.timeout,
        requireDirect: flags['require-direct'], p2p: !flags['no-p2p'],
      });
      return;
    }
    await sendMessages(context, {
      address, text: words, from: flags.from, type: flags.type, split: flags.split, timeoutMs: flags.timeout,
      jsonBody: flags['json-body'], requireDirect: flags['require-direct'], p2p: !flags['no-p2p'], receipt: flags.receipt, store: flags.store, all: flags.all,
    });
  }
}
