import t, { type Test } from 'tap';
import { generatePublisherKey } from '../../src/security/index.js';
import { withHome, type Home, type RunInit } from '../support/cli.js';
import { infoOf, openShop, signedPackage } from '../support/packages.js';

type Document = Readonly<Record<string, unknown>>;

/** Runs a command with --json, checks its exit code, and returns its output. */
const json = async (t: Test, home: Home, args: readonly string[], exit = 0, init?: RunInit): Promise<unknown> => {
  const { code, stdout, stderr } = await home.pfly([...args, '--json'], init);
  t.equal(code, exit, `protofly ${args.join(' ')} ends with ${String(exit)}: ${stdout}${stderr}`);
  return JSON.parse(stdout);
};

/** Checks that a command is refused with this code, and returns the error. */
const refused = async (t: Test, home: Home, args: readonly string[], exit: number, code: string): Promise<Document> => {
  const { error } = (await json(t, home, args, exit)) as { error: Document };
  t.equal(error['code'], code);
  return error;
};

const keyOf = (domain: string, list: unknown): Document | undefined => (list as Document[]).find((row) => row['domain'] === domain);

t.test('the runtime says who signed what, whom it believes and since when, and follows a new key', async (t) => {
  const home = withHome(t);
  const url = await home.domain();
  const entries = (await json(t, home, ['catalogue', 'list', 'protocolstub', '--domain', url])) as Document[];
  const offered = entries.find(({ name }) => name === 'default');
  t.match(offered, { type: 'protocolstub', version: String, hash: /^sha256-/, keyId: String }, 'without a runtime');
  t.match((await home.pfly(['catalogue', 'show', 'protocolstub', 'default', '--domain', url])).stdout, new RegExp(`signature .*${String(offered?.['keyId'])}`));
  for (const args of [['verify', 'protocolstub', 'default'], ['trust', 'list'], ['trust', 'add', 'a.example'], ['trust', 'remove', 'a.example']]) {
    await refused(t, home, ['catalogue', ...args], 9, 'E_NOT_RUNNING');
  }
  await home.runtime('default', url);
  const verified = await json(t, home, ['catalogue', 'verify', 'protocolstub', 'default']);
  t.match(verified, { version: offered?.['version'], hash: offered?.['hash'], keyId: offered?.['keyId'], trust: { how: 'first-use' }, allowed: true, capabilities: ['websocket'] });
  t.match(keyOf('localhost', await json(t, home, ['catalogue', 'trust', 'list'])), { keyId: offered?.['keyId'], how: 'first-use', byHand: false });
  t.match((await home.pfly(['catalogue', 'verify', 'protocolstub', 'default'])).stdout, /signed by\s+\S+\nbelieved\s+first-use, since/);
  await json(t, home, ['domain', 'rotate-key']);
  const after = (await json(t, home, ['catalogue', 'verify', 'protocolstub', 'default'])) as Document;
  t.match(after, { trust: { how: 'endorsed' }, hash: offered?.['hash'] });
  t.not(after['keyId'], offered?.['keyId']);
  await refused(t, home, ['catalogue', 'verify', 'protocolstub', 'nobody'], 3, 'E_NOT_FOUND');
  await refused(t, home, ['catalogue', 'verify', 'nonsense', 'default'], 2, 'E_USAGE');
  await refused(t, home, ['catalogue', 'verify', 'protocolstub', '../default'], 2, 'E_USAGE');
  await refused(t, home, ['catalogue', 'verify', 'protocolstub', 'default', '--domain', 'http://localhost'], 2, 'E_USAGE');
});

t.test('what another domain signs is believed as the settings say; what is tampered with never is', async (t) => {
  const home = withHome(t);
  const url = await home.domain();
  const shop = await openShop(t);
  const verify = ['catalogue', 'verify', 'protocolstub', 'default', '--domain', 'a.example'];
  shop.offer(await signedPackage(shop.key));
  await json(t, home, ['domain', 'add', 'a.example', shop.url]);
  await home.runtime('default', url);
  t.match(await json(t, home, verify), { keyId: shop.key.kid, trust: { how: 'first-use' } });

  const { descriptor, source, hash } = await signedPackage(shop.key);
  shop.offer({ descriptor: { ...descriptor, version: '2' }, source, hash });
  t.match((await refused(t, home, verify, 6, 'E_SIGNATURE'))['message'], new RegExp(`a\\.example.*${shop.key.kid}`));
  shop.offer({ descriptor: { ...descriptor, signature: '' }, source, hash });
  await refused(t, home, verify, 6, 'E_UNSIGNED');
  const stranger = await generatePublisherKey();
  shop.info = await infoOf([stranger]);
  shop.offer(await signedPackage(stranger));
  const { message, hint } = await refused(t, home, verify, 6, 'E_PUBLISHER');
  t.match(message, new RegExp(`${stranger.kid}.*${shop.key.kid}`));
  t.match(hint, `protofly catalogue trust add a.example ${stranger.kid}`);
  await refused(t, home, ['catalogue', 'trust', 'add', 'a.example', shop.key.kid], 3, 'E_NOT_FOUND');
  t.match(await json(t, home, ['catalogue', 'trust', 'add', 'A.example', stranger.kid]), [{ domain: 'a.example', keyId: stranger.kid, how: 'added' }]);
  t.match(await json(t, home, verify), { keyId: stranger.kid, trust: { how: 'added' } });
  t.match(await json(t, home, ['catalogue', 'trust', 'remove', 'a.example']), [{ keyId: stranger.kid }]);
  t.equal(keyOf('a.example', await json(t, home, ['catalogue', 'trust', 'list'])), undefined);
  await refused(t, home, ['catalogue', 'trust', 'remove', 'a.example'], 3, 'E_NOT_FOUND');

  await json(t, home, ['runtime', 'stop']);
  await json(t, home, ['config', 'set', 'stubs', 'trusted']);
  await home.runtime('default', url);
  const policy = await refused(t, home, verify, 6, 'E_POLICY');
  t.match(policy['hint'], /trust add a\.example/);
  await json(t, home, ['catalogue', 'trust', 'add', 'a.example']);
  t.match(await json(t, home, verify), { allowed: true, trust: { byHand: true } });
});

t.test('what the settings don\'t grant to stubs is refused at the start, by name', async (t) => {
  const home = withHome(t);
  const url = await home.domain();
  await refused(t, home, ['config', 'set', 'stubs', 'some'], 2, 'E_USAGE');
  await refused(t, home, ['config', 'set', 'capabilities', 'webrtc,files'], 2, 'E_USAGE');
  await refused(t, home, ['config', 'set', 'capabilities', ' '], 2, 'E_USAGE');
  t.same(await json(t, home, ['config', 'set', 'capabilities', 'webrtc, http,webrtc']), { key: 'capabilities', value: ['webrtc', 'http'] });
  const { message } = await refused(t, home, ['runtime', 'start', '--domain', url, '--wait', '60s'], 6, 'E_POLICY');
  t.match(message, /websocket/);
  await json(t, home, ['config', 'set', 'capabilities', 'websocket,webrtc']);
  await json(t, home, ['config', 'set', 'stubs', 'built-in']);
  await home.runtime('default', url);
  const { protostubs } = (await json(t, home, ['registry', 'list'])) as { protostubs: Document[] };
  t.ok(protostubs.length > 0 && protostubs.every(({ from }) => from === 'built-in'));
  await refused(t, home, ['catalogue', 'verify', 'protocolstub', 'default'], 6, 'E_POLICY');
});
