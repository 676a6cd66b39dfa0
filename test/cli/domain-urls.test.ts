import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CERTIFICATE, KEY } from '../support/certificate.js';
import { withHome, type Home } from '../support/cli.js';

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)).filter((path) => statSync(path).isFile());

const serve = async (t: Test, listener: RequestListener, tls = false): Promise<string> => {
  const server = tls ? createTlsServer({ cert: CERTIFICATE, key: KEY }, listener) : createServer(listener);
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `${tls ? 'https' : 'http'}://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
};

/** Returns the output of `runtime start`, `catalogue list` and `doctor` about a domain. */
const saidOf = async (home: Home, url: string): Promise<string[]> => {
  const profile = { profile: 'saidof' };
  const start = await home.pfly(['runtime', 'start', '--domain', url, '--user', 'eve', '--wait', '30s'], profile);
  await home.pfly(['config', 'set', 'domain', url], profile);
  const list = await home.pfly(['catalogue', 'list', '--domain', url], profile);
  const doctor = await home.pfly(['doctor'], profile);
  return [start.stderr, list.stderr, doctor.stdout.split('\n').find((line) => line.startsWith('domain ')) ?? ''];
};

t.test('a certificate that isn\'t accepted, a redirection and a web page are told of by every command', async (t) => {
  const home = withHome(t);
  const page: RequestListener = (_request, response) => { response.writeHead(200, { 'content-type': 'text/html' }).end('<html>hello</html>'); };
  const cases = [
    [await serve(t, page, true), /certificate/, /certificate/],
    [await serve(t, (_request, response) => { response.writeHead(301, { location: 'https://u:secret@elsewhere.example/' }).end(); }), /301.*https:\/\/…@elsewhere\.example/, /301.*https:\/\/…@elsewhere\.example/],
    [await serve(t, page), /web page/, /isn't JSON|web page/],
  ] as const;
  for (const [url, words, ofCatalogue] of cases) {
    const [start, list, doctor] = await saidOf(home, url);
    t.match(start, words);
    t.match(list, ofCatalogue);
    t.match(doctor, words);
    t.notMatch(start, /is it running/);
  }
});

t.test('a URL with a password is refused by every command, and shown by none', async (t) => {
  const home = withHome(t);
  for (const url of ['http://user:secret@127.0.0.1:9', 'user:secret@127.0.0.1:9']) {
    const commands = [['runtime', 'start', '--domain', url], ['config', 'set', 'domain', url], ['domain', 'add', 'a.example', url], ['domain', 'add', url, 'http://a.example'], ['catalogue', 'list', '--domain', url], ['runtime', 'start', url]];
    for (const args of commands) {
      const { code, stdout, stderr } = await home.pfly(args);
      t.equal(code, 2, `${args.join(' ')}: ${stderr}`);
      t.notMatch(stdout + stderr, 'secret');
    }
  }
  // Writes the settings as earlier versions did.
  await home.pfly(['config', 'set', 'user', 'eve']);
  const settings = join(home.path, 'profiles', 'default', 'settings.json');
  writeFileSync(settings, JSON.stringify({ ...JSON.parse(readFileSync(settings, 'utf8')) as object, domain: 'http://user:secret@127.0.0.1:9', domains: { 'a.example': 'http://user:secret@127.0.0.1:9' } }));
  const commands = [['config', 'list'], ['config', 'list', '--json'], ['config', 'get', 'domain'], ['domain', 'list'], ['doctor'], ['runtime', 'start'], ['runtime', 'start', '--domain', 'a.example'], ['catalogue', 'list'], ['domain', 'remove', 'a.example']];
  for (const args of commands) {
    const { stdout, stderr } = await home.pfly(args);
    t.notMatch(stdout + stderr, 'secret', args.join(' '));
  }
  for (const path of filesBelow(home.path).filter((path) => path !== settings)) t.notMatch(readFileSync(path, 'latin1'), 'secret', path);
});

t.test('a runtime joins a domain whose certificate is of an authority of one\'s own', async (t) => {
  const home = withHome(t);
  const [cert, key] = [join(home.path, 'cert.pem'), join(home.path, 'key.pem')];
  writeFileSync(cert, CERTIFICATE);
  writeFileSync(key, KEY);
  const env = { NODE_EXTRA_CA_CERTS: cert };
  const { code, stdout, stderr } = await home.pfly(['domain', 'start', '--listen', '127.0.0.1:0', '--detach', '--wait', '60s', '--json', '--tls-cert', cert, '--tls-key', key]);
  t.equal(code, 0, stderr);
  const { url } = JSON.parse(stdout) as { url: string };
  t.match(url, /^https:/);
  const started = await home.pfly(['runtime', 'start', '--domain', url, '--user', 'eve', '--wait', '60s'], { env });
  t.equal(started.code, 0, started.stderr);
  const bob = (args: readonly string[]): ReturnType<typeof home.pfly> => home.pfly(args, { profile: 'bob' });
  t.match(await bob(['runtime', 'start', '--domain', url, '--user', 'bob', '--wait', '60s']), { code: 4, stderr: /certificate.*--ca FILE/s });
  t.match(await bob(['catalogue', 'list']), { code: 4, stderr: /certificate/ });
  t.match(await bob(['runtime', 'start', '--ca', join(home.path, 'nothing')]), { code: 2, stderr: /can't be read/ });
  t.match(await bob(['runtime', 'start', '--ca', key]), { code: 2, stderr: /holds no certificate/ });
  t.match(await bob(['runtime', 'start', '--ca', cert, '--wait', '60s']), { code: 0 });
  t.match(await bob(['catalogue', 'list']), { code: 0, stdout: /msg-node/ });
  const { checks } = JSON.parse((await bob(['doctor', '--json'])).stdout) as { readonly checks: readonly { readonly check: string; readonly verdict: string }[] };
  t.equal(checks.find(({ check }) => check === 'domain')?.verdict, 'ok');
  t.match(await bob(['runtime', 'stop']), { code: 0 });
  t.match(await bob(['runtime', 'start', '--wait', '60s']), { code: 0 }, 'it is remembered');
});

t.test('a first start that fails is remembered, one that follows another is not', async (t) => {
  const home = withHome(t);
  const gone = await serve(t, (_request, response) => { response.writeHead(503).end(); });
  t.equal((await home.pfly(['runtime', 'start', '--domain', gone, '--user', 'eve', '--no-p2p'])).code, 4);
  const again = await home.pfly(['runtime', 'start']);
  t.match(again, { code: 4, stderr: new RegExp(gone) }, 'it tries the same domain again, not the default one');
  t.match(JSON.parse((await home.pfly(['config', 'list', '--json'])).stdout), { domain: gone, user: 'eve', p2p: false });

  const url = await home.domain();
  t.equal((await home.pfly(['runtime', 'start', '--domain', url, '--user', 'bob', '--wait', '60s'])).code, 0, 'what is said is tried');
  t.equal((await home.pfly(['runtime', 'stop'])).code, 0);
  t.equal((await home.pfly(['runtime', 'start', '--domain', gone, '--user', 'mallory'])).code, 4);
  t.match(JSON.parse((await home.pfly(['config', 'list', '--json'])).stdout), { domain: url, user: 'bob' }, 'what has worked stays');
  t.equal((await home.pfly(['runtime', 'start', '--domain', 'not a domain'], { profile: 'new' })).code, 2);
  t.notOk(existsSync(join(home.path, 'profiles', 'new', 'settings.json')), 'what makes no sense is not remembered');
});
