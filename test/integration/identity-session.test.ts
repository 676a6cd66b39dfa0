import t, { type Test } from 'tap';
import { Challenges } from '../../src/domain-server/shard/message-node/challenges.js';
import { parseAddress, type Request } from '../../src/protocol/index.js';
import { makeKey } from '../support/identity-key.js';
import { DomainClient, type Client } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { ManualClock } from '../support/manual-clock.js';
import { RestClient } from '../support/rest-client.js';

const urlOf = (id: string): string => `hyperty-runtime://a.example/${id}`;
const strict = { allowUnauthenticated: false };

const DOORS: Readonly<Record<string, (url: string, runtime: string) => Client | Promise<Client>>> = {
  WebSocket: (url, runtime) => DomainClient.connect(url, runtime),
  REST: (url, runtime) => RestClient.connect(url, runtime, 'poll'),
};

for (const [door, connect] of Object.entries(DOORS)) {
  const client = async (t: Test, url: string, runtime: string): Promise<Client> => {
    const made = await connect(url, runtime);
    t.teardown(() => made.vanish());
    return made;
  };

  await t.test(`${door}: who has the key that a runtime's URL names opens its session, and nobody else`, async (t) => {
    const { url } = await startServer(t, strict);
    const [alice, mallory] = [makeKey(), makeKey()];
    const owner = await client(t, url, urlOf(alice.id));
    const asked = await owner.ask('open', 'mn:/session');
    t.match(asked.body, { code: 401, error: 'E_UNAUTHENTICATED', challenge: /.{20}/ });
    const identity = await owner.claim(alice, asked);
    const answer = await owner.ask('open', 'mn:/session', { identity });
    t.match(answer.body, { code: 200, runtimeToken: /.{20}/ });
    owner.token = String(answer.body?.['runtimeToken']);

    const thief = await client(t, url, urlOf(alice.id));
    t.match((await thief.ask('open', 'mn:/session', { identity })).body, { code: 403, error: 'E_REPLAYED' }, 'a claim that was overheard');
    const challenge = await thief.ask('open', 'mn:/session');
    t.match((await thief.ask('open', 'mn:/session', { identity: await thief.claim(mallory, challenge) })).body, { code: 403, error: 'E_IDENTITY' }, 'another key');
    t.match((await thief.ask('open', 'mn:/session', { identity: await thief.claim(alice, challenge, { domain: 'b.example' }) })).body, { code: 403, error: 'E_IDENTITY' }, 'a claim for another domain');
    t.match((await thief.ask('open', 'mn:/session', { identity: await thief.claim(alice, challenge, { runtime: urlOf(mallory.id) }) })).body, { code: 403, error: 'E_IDENTITY' }, 'a claim for another runtime');
    t.match((await thief.ask('open', 'mn:/session', { identity: await thief.claim(alice, challenge, {}, 'protofly-device') })).body, { code: 403, error: 'E_SIGNATURE' }, 'a signature for another purpose');
    t.match((await thief.ask('open', 'mn:/session', { identity: await thief.claim(alice, challenge, { nonce: 'mine' }) })).body, { code: 401, challenge: /.{20}/ }, 'a challenge that nobody made');
    const [head = '', claim = '', signature = ''] = (await thief.claim(alice, challenge)).split('.');
    for (const [what, forged] of Object.entries({
      'an altered claim': `${head}.${Buffer.from(Buffer.from(claim, 'base64url').toString().replace('a.example', 'b.example')).toString('base64url')}.${signature}`,
      'no signature': `${Buffer.from('{"alg":"none","typ":"protofly-session"}').toString('base64url')}.${claim}.`,
      'no JWS': 'x', 'a long text': 'x'.repeat(15_000),
    })) t.match((await thief.ask('open', 'mn:/session', { identity: forged })).body, { code: 403, error: 'E_SIGNATURE' }, what);
    t.match((await thief.ask('open', 'mn:/session', { identity: { a: 1 } })).body, { code: 401 }, 'no text');

    const token = owner.token;
    const taken = await client(t, url, urlOf(alice.id));
    t.match((await taken.ask('re-open', 'mn:/session', undefined, `${taken.runtime}/${token}`)).body, { code: 401, challenge: /.{20}/ }, 'a stolen token alone resumes nothing');
    t.equal(await owner.code('ping', 'mn:/session'), 200, 'the session of its owner goes on');
  });

  await t.test(`${door}: its owner resumes a session with the token and the key`, async (t) => {
    const { url } = await startServer(t, strict);
    const key = makeKey();
    const first = await (await client(t, url, urlOf(key.id))).openSession(key);
    const [address = ''] = await first.allocate();
    await first.vanish();
    const again = await client(t, url, urlOf(key.id));
    const from = `${again.runtime}/${first.token}`;
    const asked = await again.ask('re-open', 'mn:/session', undefined, from);
    t.match((await again.ask('re-open', 'mn:/session', { identity: await again.claim(key, asked) }, from)).body, { code: 200 });
    again.token = first.token;
    t.equal(await again.code('create', 'domain://msg-node.a.example/address-allocation', { value: { addresses: [address] } }), 200, 'its address is still its own');
    t.match((await again.ask('re-open', 'mn:/session', undefined, `${again.runtime}/wrong`)).body, { code: 401, challenge: undefined }, 'an unknown token');
  });

  await t.test(`${door}: a name that is bound to no key is let in only where the operator says so`, async (t) => {
    const closed = await startServer(t, strict);
    const plain = await client(t, closed.url, urlOf('plain'));
    t.match((await plain.ask('open', 'mn:/session')).body, { code: 403, error: 'E_IDENTITY' });
    const open = await startServer(t, { allowUnauthenticated: true });
    t.match((await (await client(t, open.url, urlOf('plain'))).ask('open', 'mn:/session')).body, { code: 200 });
    const key = makeKey();
    t.match((await (await client(t, open.url, urlOf(key.id))).ask('open', 'mn:/session')).body, { code: 401, challenge: /.{20}/ }, 'but not one that is bound to a key');
  });
}

await t.test('a challenge is for one runtime, for a minute', async (t) => {
  const clock = new ManualClock();
  const challenges = new Challenges({ clock, random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)) }, { domain: 'a.example', allowUnauthenticated: false });
  const [alice, bob] = [makeKey(), makeKey()];
  const judge = async (key = alice, nonce?: string): Promise<string | undefined> => {
    const runtime = parseAddress(urlOf(key.id));
    const identity = nonce === undefined ? undefined : await key.sign('protofly-session', { domain: 'a.example', nonce, runtime });
    const judged = await challenges.judge({ id: 1, type: 'open', from: runtime, to: parseAddress('mn:/session'), body: { identity } } as Request, runtime);
    return 'challenge' in judged ? judged.challenge : undefined;
  };
  const nonce = await judge();
  t.type(await judge(bob, nonce), 'string', 'another runtime gets a challenge of its own');
  t.equal(await judge(alice, nonce), undefined);
  const late = await judge();
  clock.advance(61_000);
  t.type(await judge(alice, late), 'string', 'after a minute there is a new one');
});
