import { createHmac } from 'node:crypto';
import t from 'tap';
import { parseAddress, type Address } from '../../src/protocol/index.js';
import { UserIdentity, UserKeys } from '../../src/runtime/identity/index.js';
import type { UserIdentityInit } from '../../src/runtime/identity/user-identity.js';
import { readCertificate } from '../../src/security/index.js';
import { storeKeeper } from '../../src/store/key-keeper.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { makeKey } from '../support/identity-key.js';
import { ManualClock } from '../support/manual-clock.js';

const DAY_MS = 24 * 3600_000;
const user = parseAddress('user://a.example/bob');
const runtimeOf = (): Address => parseAddress(`hyperty-runtime://a.example/${makeKey().id}`);
const proof = (secret: string, runtime: Address): string => createHmac('sha256', secret).update(runtime).digest('base64url');

const load = (clock: ManualClock, init: Partial<UserIdentityInit> = {}, store: Store = memoryStore(), account: Store = store): Promise<UserIdentity> =>
  UserIdentity.load(
    { clock, keys: new UserKeys({ keeper: storeKeeper(account, { collection: 'user-keys', key: user, what: 'the key' }) }, { user }), kept: store.collection('identity-user'), codes: store.collection('device-codes') },
    { user, runtime: runtimeOf(), device: 'laptop', isListed: true, ...init },
  );

await t.test('IDN-6 a certificate is renewed in time, and when the date was wrong', async (t) => {
  const clock = new ManualClock();
  const bob = await load(clock);
  const first = bob.certificate;
  t.equal(bob.isDue, false);
  clock.advance(16 * DAY_MS);
  t.equal(bob.isDue, true);
  t.equal(bob.certificate, first, 'it is still valid');
  clock.advance(15 * DAY_MS);
  t.equal(bob.certificate, undefined, 'it has expired');
  await bob.refresh();
  t.type(bob.certificate, 'string');
  clock.setBy(-60 * DAY_MS);
  t.equal(bob.isDue, true, 'nobody believes one that is valid for three months');
  await bob.refresh();
  t.equal(bob.isDue, false);
});

await t.test('IDN-7 a device code is good for one runtime, until it expires', async (t) => {
  const clock = new ManualClock();
  const bob = await load(clock);
  const [phone, thief] = [runtimeOf(), runtimeOf()];
  const { secret } = await bob.makeCode(60_000);
  await t.rejects(bob.certify(thief, { name: 'thief', proof: proof(secret, phone) }), { code: 'E_REFUSED' }, 'a proof that was overheard');
  await t.rejects(bob.certify(thief, { name: 'thief' }), { code: 'E_REFUSED' });
  const answers = await Promise.allSettled([bob.certify(phone, { name: 'phone', proof: proof(secret, phone) }), bob.certify(thief, { name: 'thief', proof: proof(secret, thief) })]);
  t.same(answers.map(({ status }) => status).sort(), ['fulfilled', 'rejected'], 'two at once');
  const { secret: late } = await bob.makeCode(60_000);
  clock.advance(60_000);
  const another = runtimeOf();
  await t.rejects(bob.certify(another, { name: 'late', proof: proof(late, another) }), { code: 'E_REFUSED' });
  const machine = answers[0]!.status === 'fulfilled' ? phone : thief;
  t.match(await readCertificate(await bob.certify(machine, { name: 'x' }), machine), { user, runtime: machine }, 'who was certified needs no code to renew');
  const removed = await bob.remove(machine);
  t.equal(removed.runtime, machine);
  await t.rejects(bob.certify(machine, { name: 'x' }), { code: 'E_REMOVED' });
  t.match(await readCertificate(bob.certificate, bob.view()['runtime'] as Address), { removed: [machine.slice(-32)] }, 'its own certificate says so');
  await t.rejects(bob.certify(runtimeOf(), { name: '\u0007', proof: 'x' }), { code: 'E_USAGE' });
});

await t.test('IDN-7 runtimes of one account share the key, and a certified one keeps to its issuer over a restart', async (t) => {
  const clock = new ManualClock();
  const account = memoryStore();
  const [desk, attic] = await Promise.all([load(clock, { device: 'desk' }, memoryStore(), account), load(clock, { device: 'attic' }, memoryStore(), account)]);
  t.equal(desk.userKey, attic.userKey);
  const code = await desk.makeCode(60_000);
  const [runtime, store] = [runtimeOf(), memoryStore()];
  const phone = await load(clock, { runtime, device: 'phone', code: { runtime: parseAddress('hyperty-runtime://a.example/desk'), secret: code.secret, userKey: code.userKey } }, store);
  t.match([phone.certificate, phone.issuer, phone.isDue], [undefined, 'hyperty-runtime://a.example/desk', true]);
  await t.rejects(phone.accept(await (await load(clock)).certify(runtime, { name: 'x' }).catch(() => 'nothing')), { code: /E_SIGNATURE|E_CERTIFICATE/ });
  await phone.accept(await desk.certify(runtime, phone.request));
  const again = await load(clock, { runtime, device: 'phone' }, store);
  t.equal(again.certificate, phone.certificate);
  t.equal(again.issuer, phone.issuer);
  t.equal(again.request.proof, undefined, 'the code is used');
  await t.rejects(again.devices(), { code: 'E_REFUSED' });
});
