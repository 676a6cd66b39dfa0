import { execFile, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { startServer, temporaryFolder } from '../support/domain-server.js';

/** Runs the programs of docs/clients.md as a reader would. */
const page = readFileSync(fileURLToPath(new URL('../../docs/clients.md', import.meta.url)), 'utf8');
const run = promisify(execFile);

const works = (command: string, ...args: string[]): boolean => spawnSync(command, args, { stdio: 'ignore' }).status === 0;
const python = ['python3', '/usr/bin/python3'].find((command) => works(command, '-c', 'import websockets, cryptography'));

const PROGRAMS = {
  sh: { command: works('curl', '--version') && works('sh', '-c', 'openssl version | grep -q "^OpenSSL [3-9]"') ? 'sh' : undefined, missing: 'curl, and openssl 3.0 or newer' },
  python: { command: python, missing: 'Python with the packages websockets and cryptography' },
};

for (const [language, { command, missing }] of Object.entries(PROGRAMS)) {
  await t.test(`the program in ${language} opens a session`, { skip: command === undefined && `without ${missing}` }, async (t) => {
    const [, program = ''] = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page) ?? [];
    const { url, server } = await startServer(t, { allowUnauthenticated: false });
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'program'), program);
    const { stdout, stderr } = await run(command ?? '', [join(folder, 'program'), url, server.domain], { env: { ...process.env, KEY: join(folder, 'key.pem') } });
    t.equal(stderr, '');
    t.match(JSON.parse(stdout), { type: 'response', body: { code: 200, runtimeToken: /.{20}/ } });
  });
}
