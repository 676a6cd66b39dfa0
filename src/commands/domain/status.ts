import { string } from '@oclif/core/flags';
import { BaseCommand } from '../../cli/base-command.js';
import { domainStatus } from '../../cli/daemons/domain.js';

export default class DomainStatus extends BaseCommand {
  static override summary = 'print protocols, key, sessions, addresses, hyperties and message rates of a domain server on this machine';
  static override flags = {
    name: string({ description: 'domain of the server (default: the only one that runs)' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(DomainStatus);
    const context = this.context(flags);
    const status = await domainStatus(context, flags.name);
    const { domain, url, pid, version, startedAt, protocols = [], publisherKey, sessions, addresses, subscriptions, hyperties, messages = {}, mailbox, rates = {} } = status;
    await context.output.fields(status, {
      domain, url, pid, version, started: startedAt, protocols: protocols.join(', '), 'publisher key': publisherKey, sessions, addresses, subscriptions, hyperties, ...messages, 'received/s': rates['receivedPerSecond'],
      mailbox: mailbox === undefined ? undefined : `${String(mailbox.messages)} messages, ${String(mailbox.bytes)} bytes`,
    });
  }
}
