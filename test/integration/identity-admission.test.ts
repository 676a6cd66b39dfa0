import t, { type Test } from 'tap';
import type { DomainServerInit } from '../../src/domain-server/index.js';
import { parseAddress, systemClock, type RegistryRecord } from '../../src/protocol/index.js';
import { Admission } from '../../src/domain-server/shard/members/admission.js';
import { Members } from '../../src/domain-server/shard/members/members.js';
import { signRecord, type Certificate, type IdentityKey } from '../../src/security/index.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { parseInvite } from '../../src/security/invite.js';
import { DomainClient, type Frame } from '../support/domain-client.js';
import { failingStore } from '../support/failing-store.js';
import { ManualClock } from '../support/manual-clock.js';
import { certify, makeKey } from '../support/identity-key.js';
import { askAdmin } from '../support/admin.js';
import { startServer, temporaryFolder } from '../support/domain-server.js';

const ADMISSION = 'domain://admission.a.example';
const REGISTRY = 'domain://registry.a.example';
const urlOf = ({ id }: IdentityKey, domain = 'a.example'): string => `hyperty-runtime://${domain}/${id}`;
const userOf = (name: string): string => `user://a.example/${name}`;

interface Stranger {
  readonly key: IdentityKey;
  readonly userKey: IdentityKey;
  readonly client: DomainClient;
  readonly certificate: string;
}

const comes = async (t: Test, url: string, name = 'bob', userKey = makeKey(), fields: Record<string, unknown> = {}, key = makeKey()): Promise<Stranger> => {
  const client = await DomainClient.connect(url, urlOf(key));
  t.teardown(() => client.vanish());
  return { key, userKey, client, certificate: await certify(userKey, userOf(name), urlOf(key), fields) };
};

const soon = (): string => new Date(Date.now() + 60_000).toISOString();
const recordOf = ({ key }: Stranger, url: string, certificate: string): RegistryRecord =>
  ({ url: parseAddress(url), runtime: parseAddress(urlOf(key)), user: parseAddress(userOf('bob')), certificate, dataSchemes: [], resources: [], status: 'live', expires: 60 });

/** Opens a session with the claim's fields; returns the body of the answer. */
const opens = async ({ client, key }: Pick<Stranger, 'client' | 'key'>, fields: Record<string, unknown>): Promise<Frame['body']> => {
  const asked = await client.ask('open', 'mn:/session');
  return (await client.ask('open', 'mn:/session', { identity: await client.claim(key, asked, fields) })).body;
};

const strict = (t: Test, init: DomainServerInit = {}, store: Store = memoryStore()): ReturnType<typeof startServer> => startServer(t, { allowUnauthenticated: false, ...init }, store);

await t.test('IDN-8 a user\'s name belongs to the first key that comes with it, also while he is away', async (t) => {
  const store = memoryStore();
  const { url, server } = await strict(t, {}, store);
  const bob = await comes(t, url);
  t.match(await opens(bob, { certificate: bob.certificate }), { code: 200 });
  const squatter = await comes(t, url);
  t.match(await opens(squatter, { certificate: squatter.certificate }), { code: 409, error: 'E_NAME_TAKEN' }, 'online');
  await bob.client.vanish();
  t.match(await opens(squatter, { certificate: squatter.certificate }), { code: 409, error: 'E_NAME_TAKEN' }, 'while he is away');
  await server.close();
  const again = await strict(t, {}, store);
  const late = await comes(t, again.url);
  t.match(await opens(late, { certificate: late.certificate }), { code: 409, error: 'E_NAME_TAKEN' }, 'after a restart of the domain');
  const alike = await comes(t, again.url, 'BOB');
  t.match(await opens(alike, { certificate: alike.certificate }), { code: 409, error: 'E_NAME_TAKEN' }, 'a name that differs in its case alone');
  const second = await comes(t, again.url, 'bob', bob.userKey);
  t.match(await opens(second, { certificate: second.certificate }), { code: 200 }, 'his second machine');
});

await t.test('IDN-6 a certificate is for one runtime, by a user of this domain, for 30 days at most', async (t) => {
  const { url } = await strict(t);
  const days = (n: number): string => new Date(Date.now() + n * 24 * 3600_000).toISOString();
  const bob = await comes(t, url);
  const tries: readonly (readonly [string, string, string])[] = [
    ['of another runtime', await certify(bob.userKey, userOf('bob'), urlOf(makeKey())), 'E_CERTIFICATE'],
    ['of another domain', await certify(bob.userKey, 'user://b.example/bob', urlOf(bob.key)), 'E_CERTIFICATE'],
    ['that has expired', await certify(bob.userKey, userOf('bob'), urlOf(bob.key), { expires: days(-1) }), 'E_EXPIRED'],
    ['that is valid for too long', await certify(bob.userKey, userOf('bob'), urlOf(bob.key), { expires: days(40) }), 'E_EXPIRED'],
    ['of another kind', await certify(bob.userKey, userOf('bob'), urlOf(bob.key), {}, 'protofly-record'), 'E_SIGNATURE'],
    ['that was changed', bob.certificate.replace(/\.[\w-]+\./, `.${Buffer.from(JSON.stringify({ user: userOf('bob'), runtime: urlOf(bob.key), name: 'x', expires: days(20), removed: [] })).toString('base64url')}.`), 'E_SIGNATURE'],
    ['that is no user\'s', await certify(bob.userKey, 'hyperty://a.example/bob', urlOf(bob.key)), 'E_CERTIFICATE'],
    ['of a name that looks like a hyperty', await certify(bob.userKey, userOf('alice/in'), urlOf(bob.key)), 'E_CERTIFICATE'],
    ['of a name with what can\'t be seen', await certify(bob.userKey, `${userOf('alice')}\u200b`, urlOf(bob.key)), 'E_CERTIFICATE'],
    ['with a list without an end', await certify(bob.userKey, userOf('bob'), urlOf(bob.key), { removed: Array(101).fill('0'.repeat(32)) }), 'E_CERTIFICATE'],
  ];
  for (const [what, certificate, error] of tries) t.match(await opens(bob, { certificate }), { code: 403, error }, `a certificate ${what}`);
  t.match(await opens(bob, { certificate: bob.certificate }), { code: 200 });
});

await t.test('IDN-8 only a user\'s runtime registers what it hosts as his', async (t) => {
  const { url } = await strict(t, { allowUnauthenticated: true });
  const bob = await comes(t, url);
  await opens(bob, { certificate: bob.certificate });
  const plain = await (await DomainClient.connect(url, 'hyperty-runtime://a.example/plain')).openSession();
  t.teardown(() => plain.vanish());
  const register = async (client: DomainClient, user: string): Promise<Frame['body']> => {
    const [address] = await client.allocate();
    return (await client.ask('create', REGISTRY, { value: { url: address, user } })).body;
  };
  const [own] = await bob.client.allocate();
  const other = await certify(makeKey(), userOf('bob'), urlOf(bob.key));
  t.match((await bob.client.ask('create', REGISTRY, { value: await signRecord(recordOf(bob, own!, other), bob.key, { serial: 1, until: soon() }) })).body, { code: 403, error: 'E_CERTIFICATE' }, 'a certificate by a key that the name doesn\'t belong to');
  t.match((await bob.client.ask('create', REGISTRY, { value: await signRecord(recordOf(bob, own!, bob.certificate), bob.key, { serial: 2, until: soon() }) })).body, { code: 200 });
  t.match(await register(plain, userOf('bob')), { code: 403, error: 'E_CERTIFICATE' }, 'a name that belongs to a key');
  t.match(await register(plain, userOf('carol')), { code: 200 }, 'a name that belongs to none, since this domain lets in clients without a key');
  const [address] = await plain.allocate();
  await plain.ask('create', REGISTRY, { value: { url: address, user: userOf('carol') } });
  t.match((await plain.ask('update', REGISTRY, { resource: address, attribute: 'user', value: userOf('bob') })).body, { code: 403, error: 'E_CERTIFICATE' }, 'nor by an update');
});

await t.test('IDN-8 a domain with invitations lets in nobody but who was invited, once', async (t) => {
  const adminSocket = `${temporaryFolder(t)}/admin.sock`;
  const { url, server } = await strict(t, { admission: 'invite', adminSocket });
  const invite = async (user: string): Promise<string> => parseInvite(((await askAdmin(adminSocket, 'a.example', 'create', { resource: 'invitation', value: { user } })) as { invite: string }).invite).token;
  const bob = await comes(t, url);
  t.match(await opens(bob, {}), { code: 403, error: 'E_NOT_MEMBER' }, 'nobody\'s runtime');
  t.match(await opens(bob, { certificate: bob.certificate }), { code: 403, error: 'E_NOT_MEMBER' }, 'a user who wasn\'t invited');
  t.match(await opens(bob, { certificate: bob.certificate, invite: 'made-up' }), { code: 403, error: 'E_INVITE' });
  const token = await invite('bob');
  const thief = await comes(t, url, 'carol');
  t.match(await opens(thief, { certificate: thief.certificate, invite: token }), { code: 403, error: 'E_INVITE' }, 'an invitation of another name');
  t.match(await opens(bob, { certificate: bob.certificate, invite: token }), { code: 200 });
  const stolen = await comes(t, url);
  t.match(await opens(stolen, { certificate: stolen.certificate, invite: token }), { code: 403, error: 'E_INVITE' }, 'a stolen one that was used before');
  await bob.client.vanish();
  const again = await comes(t, url, 'bob', bob.userKey);
  t.match(await opens(again, { certificate: again.certificate, invite: token }), { code: 200 }, 'the same user again');
  const visitor = makeKey();
  const foreign = await DomainClient.connect(url, urlOf(visitor, 'b.example'));
  t.teardown(() => foreign.vanish());
  t.match((await foreign.ask('open', 'mn:/session', { identity: await foreign.claim(visitor, await foreign.ask('open', 'mn:/session'), { domain: 'a.example' }) })).body, { code: 403, error: 'E_NOT_MEMBER' }, 'somebody of another domain');

  const closed = again.client.closed;
  await askAdmin(adminSocket, 'a.example', 'delete', { resource: 'member', value: { user: 'bob' } });
  t.match(await closed, { reason: /was removed from this domain/ });
  t.equal(server.status()['sessions'], 0, 'no session is left, not even one without a connection');
  const removed = await comes(t, url, 'bob', bob.userKey);
  t.match(await opens(removed, { certificate: removed.certificate }), { code: 403, error: 'E_NOT_MEMBER' });
  const fresh = await comes(t, url);
  t.match(await opens(fresh, { certificate: fresh.certificate, invite: await invite('bob') }), { code: 200 }, 'a new invitation gives the name to another key');
  t.match(await opens(removed, { certificate: removed.certificate }), { code: 409, error: 'E_NAME_TAKEN' });
  await t.rejects(askAdmin(adminSocket, 'a.example', 'create', { resource: 'invitation', value: { user: '../x' } }), { code: 'E_USAGE' });
  await t.rejects(askAdmin(adminSocket, 'a.example', 'delete', { resource: 'member', value: { user: 'nobody' } }), { code: 'E_NOT_FOUND' });
});

await t.test('IDN-8 an invitation is used up by who shows it, and who loses a name loses what came with it', async (t) => {
  const adminSocket = `${temporaryFolder(t)}/admin.sock`;
  const { url } = await strict(t, { admission: 'invite', adminSocket });
  const invite = async (): Promise<string> => parseInvite(((await askAdmin(adminSocket, 'a.example', 'create', { resource: 'invitation', value: { user: 'bob' } })) as { invite: string }).invite).token;
  const [first, second] = [await invite(), await invite()];
  const bob = await comes(t, url);
  t.match(await opens(bob, { certificate: bob.certificate, invite: first }), { code: 200 });
  const thief = await comes(t, url);
  t.match(await opens(thief, { certificate: thief.certificate, invite: second }), { code: 403, error: 'E_INVITE' }, 'a further one for the same name has ended with the first');
  const shown = await invite();
  await bob.client.vanish();
  const again = await comes(t, url, 'bob', bob.userKey, {}, bob.key);
  t.match(await opens(again, { certificate: again.certificate, invite: shown }), { code: 200 });
  t.match(await opens(thief, { certificate: thief.certificate, invite: shown }), { code: 403, error: 'E_INVITE' }, 'shown by its holder, it is used up, too');
  const [address] = await again.client.allocate();
  await again.client.ask('create', REGISTRY, { value: await signRecord(recordOf(again, address!, again.certificate), again.key, { serial: 1, until: soon() }) });
  const renewed = await invite();
  const next = await comes(t, url);
  t.match(await opens(next, { certificate: next.certificate, invite: renewed }), { code: 200 }, 'the operator gives the name to another key');
  t.match(await again.client.closed, { reason: /another key has this name now/ });
  t.match((await next.client.ask('read', REGISTRY, { resource: address })).body, { code: 404 });
  const BOB = await comes(t, url, 'BOB');
  const upper = parseInvite(((await askAdmin(adminSocket, 'a.example', 'create', { resource: 'invitation', value: { user: 'BOB' } })) as { invite: string }).invite).token;
  t.match(await opens(BOB, { certificate: BOB.certificate, invite: upper }), { code: 200 });
  t.match(await next.client.closed, { reason: /another key has this name now/ }, 'also if it is written in another way');
  const back = await comes(t, url, 'bob', bob.userKey);
  t.match(await opens(back, { certificate: back.certificate, invite: shown }), { code: 403, error: 'E_INVITE' }, 'nor does an old one bring it back');
});

await t.test('IDN-8 who is removed while his session is being opened has none', async (t) => {
  const members = new Members({ store: memoryStore(), clock: systemClock });
  const admission = new Admission({ clock: systemClock, members, onRemoved: () => Promise.resolve(), onTakenOver: () => Promise.resolve() }, { domain: 'a.example', mode: 'open', allowUnauthenticated: false, allowVisitors: false });
  const [key, userKey] = [makeKey(), makeKey()];
  const runtime = parseAddress(urlOf(key));
  const standing = await admission.judge(runtime, { certificate: await certify(userKey, userOf('bob'), runtime) });
  admission.confirm(standing, runtime);
  await members.remove(parseAddress(userOf('bob')));
  t.throws(() => { admission.confirm(standing, runtime); }, { code: 'E_NOT_MEMBER' });
  await t.rejects(admission.checkRecord({ url: runtime, runtime, dataSchemes: [], resources: [], status: 'live', expires: 1 }, standing), { code: 'E_NOT_MEMBER' });
});

await t.test('IDN-8 a session is resumed although the disk is full, with its invitation, too', async (t) => {
  const adminSocket = `${temporaryFolder(t)}/admin.sock`;
  const store = failingStore();
  const { url } = await strict(t, { admission: 'invite', adminSocket }, store);
  const bob = await comes(t, url);
  const invite = parseInvite(((await askAdmin(adminSocket, 'a.example', 'create', { resource: 'invitation', value: { user: 'bob' } })) as { invite: string }).invite).token;
  const { runtimeToken } = (await opens(bob, { certificate: bob.certificate, invite })) as { runtimeToken: string };
  await bob.client.vanish();
  store.isFull = true;
  const again = await DomainClient.connect(url, urlOf(bob.key));
  t.teardown(() => again.vanish());
  const from = `${urlOf(bob.key)}/${runtimeToken}`;
  const asked = await again.ask('re-open', 'mn:/session', undefined, from);
  t.match((await again.ask('re-open', 'mn:/session', { identity: await again.claim(bob.key, asked, { certificate: bob.certificate, invite }) }, from)).body, { code: 200 });
});

await t.test('IDN-6 a machine that its user has removed is out at once, and stays out', async (t) => {
  const { url } = await strict(t);
  const first = await comes(t, url);
  await opens(first, { certificate: first.certificate });
  const lost = await comes(t, url, 'bob', first.userKey);
  await opens(lost, { certificate: lost.certificate });
  const [address] = await lost.client.allocate();
  const list = await certify(first.userKey, userOf('bob'), urlOf(first.key), { removed: [lost.key.id] });
  t.match((await first.client.ask('update', ADMISSION, { value: { certificate: list } })).body, { code: 200 });
  t.match(await lost.client.closed, { reason: /has removed it/ });
  t.match((await first.client.ask('read', REGISTRY, { resource: address })).body, { code: 404 });
  const back = await comes(t, url, 'bob', first.userKey, {}, lost.key);
  t.match(await opens(back, { certificate: back.certificate }), { code: 403, error: 'E_REMOVED' });
  const stranger = await comes(t, url, 'carol');
  await opens(stranger, { certificate: stranger.certificate });
  const forged = await certify(stranger.userKey, userOf('carol'), urlOf(stranger.key), { removed: [first.key.id] });
  t.match((await stranger.client.ask('update', ADMISSION, { value: { certificate: forged } })).body, { code: 200 });
  t.match((await first.client.ask('ping', 'mn:/session')).body, { code: 200 }, 'nobody removes another user\'s machine');
});

await t.test('IDN-7 a machine without a certificate can do nothing but ask for one, where users are invited', async (t) => {
  const { url } = await strict(t, { admission: 'invite' });
  const device = await comes(t, url);
  const issuer = urlOf(makeKey());
  t.match(await opens(device, { device: 'hyperty://a.example/x' }), { code: 403, error: 'E_CERTIFICATE' });
  t.match(await opens(device, { device: issuer }), { code: 200 });
  t.match((await device.client.ask('create', 'domain://msg-node.a.example/address-allocation', { scheme: 'hyperty', value: { number: 1 } })).body, { code: 403, error: 'E_NOT_MEMBER' });
  t.match((await device.client.ask('create', [`${issuer}/devices`, 'hyperty://a.example/x'])).body, { code: 403, error: 'E_NOT_MEMBER' });
  t.match((await device.client.ask('create', `${issuer}/devices`)).body, { code: 404 }, 'that runtime isn\'t there');
});

await t.test('a domain that listens for everybody invites its users, unless it is told otherwise', async (t) => {
  const listen = { host: '0.0.0.0', port: 0 };
  t.equal((await strict(t, { listen })).server.admission, 'invite');
  t.equal((await strict(t, { listen, admission: 'open' })).server.admission, 'open');
  t.equal((await strict(t, { publicUrl: 'https://a.example' })).server.admission, 'invite', 'also behind a proxy');
  t.equal((await strict(t)).server.admission, 'open');
});

await t.test('invitations expire, and there are only so many of them and of users', async (t) => {
  const clock = new ManualClock();
  const members = new Members({ store: memoryStore(), clock }, { members: 2, invitations: 1 });
  const certificate = (name: string): Certificate => ({ user: parseAddress(userOf(name)), runtime: parseAddress(urlOf(makeKey())), name: 'x', expires: '', removed: [], userKey: name });
  await members.add(certificate('bob'));
  await members.invite(parseAddress(userOf('carol')), 'token', 60_000);
  await t.rejects(members.invite(parseAddress(userOf('dora')), 'token2', 60_000), { code: 'E_TOO_MANY' });
  clock.advance(60_000);
  await t.rejects(members.redeem('token', certificate('carol')), { code: 'E_INVITE', message: /has expired/ });
  await members.invite(parseAddress(userOf('dora')), 'token2', 60_000);
  await members.redeem('token2', certificate('dora'));
  await t.rejects(members.add(certificate('eve')), { code: 'E_TOO_MANY' });
});
