import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { systemClock } from '../../src/protocol/index.js';
import { StunSocket } from '../../src/runtime/p2p/stun/index.js';

/** Returns the reason to skip tests that need a TURN server, or false. */
export const withoutCoturn = (): string | false =>
  spawnSync('turnserver', ['--version']).error === undefined ? false : 'coturn (turnserver) is not installed';

/** Differs from the peers' address: relays admit senders by address, so a shared address would admit the peers themselves. */
const HOST = '127.0.0.2';

export interface Coturn {
  readonly port: number;
  readonly secret: string;
  readonly stun: string;
  readonly turn: string;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject).bind(0, HOST, () => {
      const { port } = socket.address();
      socket.close(() => { resolve(port); });
    });
  });

/** A real STUN and TURN server on a loopback port. It accepts credentials made with `secret`. Stopped after the test. */
export const startCoturn = async (t: Test, secret = 'test-secret'): Promise<Coturn> => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-turn-'));
  const port = await freePort();
  const config = join(folder, 'turnserver.conf');
  writeFileSync(config, [
    `listening-ip=${HOST}`, `relay-ip=${HOST}`, `listening-port=${String(port)}`, 'realm=test.example', 'use-auth-secret', `static-auth-secret=${secret}`,
    'no-tls', 'no-dtls', 'no-tcp', 'no-cli', 'allow-loopback-peers', 'fingerprint', `pidfile=${join(folder, 'pid')}`, `userdb=${join(folder, 'db')}`, 'simple-log', 'log-file=stdout', '',
  ].join('\n'));
  const child = spawn('turnserver', ['-c', config], { stdio: 'ignore' });
  const gone = new Promise<void>((resolve) => { child.once('close', () => { resolve(); }); });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  });
  const socket = await StunSocket.open(4, systemClock);
  try {
    await socket.request({ address: HOST, port }, { method: 'binding' });
  } finally {
    socket.close();
  }
  return { port, secret, stun: `stun:${HOST}:${String(port)}`, turn: `turn:${HOST}:${String(port)}` };
};
