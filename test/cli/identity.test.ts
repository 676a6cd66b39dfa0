import t from 'tap';
import { ended, withHome, type Home, type Ran } from '../support/cli.js';
import { until } from '../support/until.js';

await t.test('a domain with invitations, two machines of a user, a lost one, a knock, and a member who has to go', async (t) => {
  const [office, laptop, phone] = [withHome(t), withHome(t), withHome(t)];
  const run = async (home: Home, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await home.pfly(args);
    if (code !== 0) throw new Error(`protofly ${args.join(' ')} ended with ${String(code)}: ${stderr}`);
    return stdout.trim();
  };
  const fails = async (home: Home, args: readonly string[], input?: string): Promise<Ran> => home.pfly(args, input === undefined ? {} : { input });
  const url = await office.domain('--admission', 'invite');

  t.match(await fails(laptop, ['runtime', 'start', '--domain', url, '--user', 'bob', '--json']), { code: 6, stderr: '', stdout: /"E_NOT_MEMBER"/ });
  const made = await office.pfly(['domain', 'invite', 'bob', '--qr']);
  const [invite = ''] = made.stdout.split('\n');
  t.match(made, { code: 0, stdout: /[█▀▄]{20}/, stderr: /leads nowhere on other machines/ });
  t.match(await fails(laptop, ['runtime', 'start', '--invite', `${invite.slice(0, -8)}`]), { code: 2, stderr: /no invitation, or not all of it/ });
  t.match(await fails(laptop, ['runtime', 'start', '--invite', '-', '--machine', 'laptop', '--wait', '60s'], `${invite}\n`), { code: 0, stdout: /is live for user:\/\/localhost\/bob/ });
  const { invite: forAlice } = JSON.parse(await run(office, 'domain', 'invite', 'alice', '--expires', '1h', '--json')) as { invite: string };
  await run(office, 'runtime', 'start', '--invite', forAlice, '--wait', '60s');
  t.match(await fails(phone, ['runtime', 'start', '--invite', forAlice]), { code: 6, stderr: /was used before/ });
  t.match(JSON.parse(await run(office, 'domain', 'members', '--json')), [{ user: 'user://localhost/alice' }, { user: 'user://localhost/bob' }]);

  const code = JSON.parse(await run(laptop, 'device', 'add', '--json')) as { code: string; url: string };
  t.equal(code.url, url);
  t.match(await fails(phone, ['runtime', 'start', '--device', code.code, '--machine', 'phone', '--wait', '60s']), { code: 0 });
  t.match(JSON.parse(await run(phone, 'whoami', '--json')), { user: 'user://localhost/bob', device: 'phone', userKey: (JSON.parse(await run(laptop, 'whoami', '--json')) as { userKey: string }).userKey });
  t.match(await run(laptop, 'device', 'list'), /laptop[^]*phone/);

  await run(laptop, 'hyperty', 'register', 'in');
  await run(phone, 'hyperty', 'register', 'in');
  t.match(JSON.parse(await run(office, 'hyperty', 'discover', '--user', 'bob', '--json')), [{ verified: true }, { verified: true }]);
  const tail = ended(phone.start(['msg', 'tail', 'in', '--count', '1', '--timeout', '30s']));
  await until('a program reads', async () => (JSON.parse(await run(phone, 'hyperty', 'list', '--json')) as { attached: number }[])[0]?.attached === 1);
  await run(office, 'msg', 'send', 'bob/in', 'hello');
  t.match(await tail, { code: 0, stdout: 'alice  hello\n' }, 'the machine that came last has it, and says whose it is');

  const copies = ['--count', '1', '--timeout', '30s'] as const;
  const both = [laptop, phone].map((machine) => ended(machine.start(['msg', 'tail', 'in', ...copies])));
  const receipts = (await run(office, 'msg', 'send', 'bob/in', 'to each', '--all', '--receipt')).trim().split('\n').map((line) => JSON.parse(line) as { id: string; to: string; state: string; user: string });
  t.match(receipts, [{ state: 'delivered', user: 'user://localhost/bob' }, { state: 'delivered' }]);
  t.equal(new Set(receipts.map(({ to }) => to)).size, 2, 'one for each machine');
  t.ok(receipts.every(({ id }) => id.endsWith('-1')), 'both are of the first message');
  for (const one of both) t.match(await one, { code: 0, stdout: 'alice  to each\n' });
  t.match(await fails(office, ['msg', 'send', 'nobody/in', 'x', '--all']), { code: 3 });

  await run(laptop, 'device', 'remove', 'phone');
  await until('the lost machine is out', async () => (JSON.parse(await run(phone, 'runtime', 'status', '--json')) as { refusal?: { code: string } }).refusal?.code === 'E_REMOVED');
  t.match(JSON.parse(await run(office, 'hyperty', 'discover', '--user', 'bob', '--json')) as unknown[], { length: 1 });

  await run(laptop, 'config', 'set', 'accept', 'contacts');
  await run(laptop, 'runtime', 'stop');
  await run(laptop, 'runtime', 'start', '--wait', '60s');
  t.match(await fails(office, ['msg', 'send', 'bob/in', 'may I come in?', '--json']), { code: 6, stdout: /"E_KNOCK"/ });
  t.match(await run(laptop, 'contact', 'list'), /user:\/\/localhost\/alice +knocks .*may I come in\?/);
  await run(laptop, 'contact', 'accept', 'alice');
  await run(office, 'msg', 'send', 'bob/in', 'thank you');
  t.match(JSON.parse(await run(laptop, 'msg', 'tail', 'in', '--count', '1', '--timeout', '20s', '--json')), { body: { value: 'thank you' }, sender: { user: 'user://localhost/alice', verified: true } });
  const number = await run(laptop, 'contact', 'verify', 'alice');
  t.match(number, /^(?:\d{5} ){11}\d{5}$/);
  t.equal(await run(office, 'contact', 'verify', 'bob'), number);
  t.match(await run(office, 'contact', 'verify', 'bob', '--same'), /key was compared/);
  await run(laptop, 'contact', 'block', 'alice');
  t.match(await fails(office, ['msg', 'send', 'bob/in', 'again']), { code: 6, stderr: /takes nothing from user:\/\/localhost\/alice/ });

  await run(office, 'domain', 'remove-member', 'bob');
  await until('the member is out', async () => (JSON.parse(await run(laptop, 'runtime', 'status', '--json')) as { refusal?: { code: string } }).refusal?.code === 'E_NOT_MEMBER');
  t.match(await fails(office, ['domain', 'remove-member', 'carol']), { code: 3 });
});
