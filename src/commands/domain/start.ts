import { boolean, string } from '@oclif/core/flags';
import { BaseCommand, durationFlag } from '../../cli/base-command.js';
import { startDomain } from '../../cli/daemons/domain.js';

export default class DomainStart extends BaseCommand {
  static override summary = 'run a domain server: message node, registry and catalogue';
  static override description = 'Stays in the foreground, with its log on stderr, unless --detach is given.';
  static override examples = ['<%= config.bin %> domain start --detach', '<%= config.bin %> domain start --name example.com --listen 0.0.0.0:443 --public-url https://example.com --tls-cert cert.pem --tls-key key.pem'];
  static override flags = {
    name: string({ description: 'the domain it serves', default: 'localhost' }),
    listen: string({ description: 'host:port; port 0 takes a free one', default: '127.0.0.1:9090' }),
    'public-url': string({ description: 'the URL at which clients reach it, for its documents', helpValue: 'URL' }),
    'allow-origin': string({ description: 'origin of web pages that may open sessions; * for all', helpValue: 'ORIGIN', multiple: true, multipleNonGreedy: true }),
    'allow-unauthenticated': boolean({ description: 'let in clients whose name is bound to no key' }),
    admission: string({ description: 'whom it admits: open (a user name belongs to the first who comes with it) or invite (default: open on the loopback interface, else invite)', options: ['open', 'invite'] }),
    'allow-visitors': boolean({ description: 'let in the runtimes of other domains, although users have to be invited' }),
    detach: boolean({ description: 'return when it is ready, and leave it running' }),
    wait: durationFlag({ description: 'time limit until it is ready', default: 10_000, aliases: ['timeout'] }),
    'tls-cert': string({ description: 'certificate file (PEM)' }),
    'tls-key': string({ description: 'key file (PEM)' }),
    protocols: string({ description: 'protocols of the message node, separated by commas; the stub of the first is the domain\'s own', default: 'websocket,rest' }),
    'ice-server': string({ description: 'STUN or TURN server for the runtimes of this domain: stun:host:port or turn:host:port', multiple: true, multipleNonGreedy: true }),
    'turn-secret-file': string({ description: 'file with the secret that the TURN servers share with this domain (or PROTOFLY_TURN_SECRET)' }),
  };

  override async run(): Promise<number> {
    const { flags } = await this.parse(DomainStart);
    const context = this.context(flags);
    return startDomain(context, {
      name: flags.name, listen: flags.listen, publicUrl: flags['public-url'], allowOrigins: flags['allow-origin'] ?? [], allowUnauthenticated: flags['allow-unauthenticated'] ?? false, admission: flags.admission as 'open' | 'invite' | undefined, allowVisitors: flags['allow-visitors'] ?? false, waitMs: flags.wait, tlsCert: flags['tls-cert'], tlsKey: flags['tls-key'], iceServers: flags['ice-server'] ?? [], turnSecretFile: flags['turn-secret-file'], protocols: flags.protocols,
    }, flags.detach, ({ status: { domain, url, pid, protocols, admission, publisherKey }, socket, log }) =>
      context.output.result({ domain, url, pid, protocols, admission, publisherKey, socket, ...(log === undefined ? {} : { log }) }, () => `domain ${domain} at ${url} (pid ${String(pid)})`));
  }
}
