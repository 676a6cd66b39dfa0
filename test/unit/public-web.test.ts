import { once } from 'node:events';
import type { LookupAddress } from 'node:dns';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { isPublicAddress, isPublicHost, PublicWeb } from '../../src/link/web/index.js';

t.test('STB-10 addresses of the public internet are told from all others', (t) => {
  for (const address of ['93.184.216.34', '2606:2800:220:1::1', '::ffff:93.184.216.34', '64:ff9b::5db8:d822']) t.ok(isPublicAddress(address), address);
  for (const address of [
    '127.0.0.1', '127.9.9.9', '::1', '10.0.0.1', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '::', '224.0.0.1', '255.255.255.255', '198.18.0.1',
    'fe80::1', 'fc00::1', 'ff02::1', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::1', '2001::1', 'no address',
  ]) t.notOk(isPublicAddress(address), address);
  t.end();
});

t.test('STB-10 names of the public internet are told from all others', (t) => {
  for (const name of ['example.com', 'a.b.example', 'EXAMPLE.com.']) t.ok(isPublicHost(name), name);
  for (const url of ['https://localhost', 'https://127.0.0.1', 'https://2130706433', 'https://0x7f.1', 'https://[::1]', 'https://router', 'https://x.localhost', 'https://nas.local', 'https://db.internal', 'https://10.1.2.3', 'https://x.home.arpa', 'https://localhost.']) {
    t.notOk(isPublicHost(new URL(url).hostname), url);
  }
  t.end();
});

t.test('STB-10 a name that DNS leads into this machine or its network is refused before anything is sent', async (t) => {
  let connections = 0;
  const server = createServer((_request, response) => { response.end('{}'); });
  server.on('connection', () => { connections += 1; });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => { server.close(); });
  const { port } = server.address() as AddressInfo;
  const asked: string[] = [];
  const answers: Record<string, LookupAddress[]> = {
    'rebound.example': [{ address: '127.0.0.1', family: 4 }],
    'mixed.example': [{ address: '93.184.216.34', family: 4 }, { address: '::1', family: 6 }],
    'metadata.example': [{ address: '169.254.169.254', family: 4 }],
    'empty.example': [],
  };
  const web = new PublicWeb({ lookup: (hostname, _options, done) => { asked.push(hostname); done(null, answers[hostname]!); } });
  for (const name of Object.keys(answers)) await t.rejects(web.fetch(`http://${name}:${String(port)}/`), { code: 'E_PRIVATE' }, name);
  t.same(asked, Object.keys(answers));
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '2130706433']) await t.rejects(web.fetch(`http://${host}:${String(port)}/`), { code: 'E_PRIVATE' }, host);
  t.equal(asked.length, 4, 'DNS is not asked for them');
  t.equal(connections, 0);
});
