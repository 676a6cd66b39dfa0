import { createHmac } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import t, { type Test } from 'tap';
import { iceEndpoints, systemClock } from '../../src/protocol/index.js';
import { decodeStun, probeNetwork, StunSocket, type NetworkReport } from '../../src/runtime/p2p/stun/index.js';
import { startCoturn, withoutCoturn } from '../support/coturn.js';

const probe = (servers: Parameters<typeof iceEndpoints>[0], addresses = ['127.0.0.1']): Promise<NetworkReport> =>
  probeNetwork(iceEndpoints(servers), { clock: systemClock, addresses: () => addresses });

const credentials = (secret: string): { username: string; credential: string } => {
  const username = `${String(Math.floor(Date.now() / 1000) + 60)}:r1`;
  return { username, credential: createHmac('sha1', secret).update(username).digest('base64') };
};

/** Starts a minimal STUN server that reports the client's address as `mapped`. */
const liar = async (t: Test, address: string, mapped: (port: number) => number): Promise<string> => {
  const socket: Socket = createSocket('udp4');
  socket.on('message', (packet, { port, address: from }) => {
    const answer = Buffer.alloc(32);
    answer.writeUInt16BE(0x0101, 0);
    answer.writeUInt16BE(12, 2);
    packet.copy(answer, 4, 4, 20);
    answer.writeUInt16BE(0x0020, 20);
    answer.writeUInt16BE(8, 22);
    answer.writeUInt16BE(1, 24);
    answer.writeUInt16BE(mapped(port) ^ 0x2112, 26);
    Buffer.from(address.split('.').map(Number)).forEach((byte, at) => { answer[28 + at] = byte ^ [0x21, 0x12, 0xa4, 0x42][at]!; });
    socket.send(answer, port, from);
  });
  await new Promise<void>((resolve) => { socket.bind(0, '127.0.0.1', resolve); });
  t.teardown(() => { socket.close(); });
  return `stun:127.0.0.1:${String(socket.address().port)}`;
};

t.test('a real server: it sees our own address, and gives a relay for credentials made with its secret', { skip: withoutCoturn() }, async (t) => {
  const { stun, turn, secret } = await startCoturn(t);
  const good = await probe([stun, { urls: turn, ...credentials(secret) }]);
  t.match(good, { udp: 'yes', mapping: 'none', turn: 'yes' });
  t.match(good.servers.map(({ server, ok }) => [server.split(':')[0], ok]), [['stun', true], ['turn', true]], 'one place is asked once for each thing');
  t.match(good.servers[1]!.address, /^127\.0\.0\.2:\d+$/);
  const bad = await probe([{ urls: turn, ...credentials('another secret') }]);
  t.match(bad, { udp: 'yes', turn: 'refused' });
  t.match(bad.servers.find(({ ok }) => !ok), { error: 'E_UNAUTHENTICATED', reason: /^401/ });
});

t.test('the kind of NAT is told by what two servers see', async (t) => {
  const same = await Promise.all([liar(t, '198.51.100.7', () => 4000), liar(t, '198.51.100.7', () => 4000)]);
  t.match(await probe(same), { udp: 'yes', mapping: 'independent', turn: 'none' });
  const other = await Promise.all([liar(t, '198.51.100.7', () => 4000), liar(t, '198.51.100.7', () => 4001)]);
  t.match(await probe(other), { udp: 'yes', mapping: 'dependent' });
  t.match(await probe([same[0]]), { udp: 'yes', mapping: 'unknown' }, 'one server tells nothing of that');
  t.match(await probe([await liar(t, '198.51.100.7', (port) => port)], ['198.51.100.7']), { mapping: 'none' }, 'unless it sees an address of this machine');
});

t.test('servers that don\'t answer: UDP doesn\'t pass, as far as anybody can tell', async (t) => {
  const silent = createSocket('udp4');
  await new Promise<void>((resolve) => { silent.bind(0, '127.0.0.1', resolve); });
  t.teardown(() => { silent.close(); });
  const place = `127.0.0.1:${String(silent.address().port)}`;
  const report = await probe([`stun:${place}`, { urls: `turn:${place}`, username: 'u', credential: 'p' }]);
  t.match(report, { udp: 'no', mapping: 'unknown', turn: 'no' });
  t.same(report.servers.map(({ error }) => error), ['E_TIMEOUT', 'E_TIMEOUT']);
  t.match(await probe([]), { udp: 'unknown', mapping: 'unknown', turn: 'none', servers: [] });
  t.match(await probe(['stun:no-such-host.invalid']), { udp: 'unknown', servers: [{ ok: false, error: 'E_NOT_FOUND' }] });
});

t.test('only whoever was asked answers, and what makes no sense is no answer', async (t) => {
  const socket = await StunSocket.open(4, systemClock);
  const [asked, forger] = [createSocket('udp4'), createSocket('udp4')];
  await Promise.all([asked, forger].map((each) => new Promise<void>((resolve) => { each.bind(0, '127.0.0.1', resolve); })));
  t.teardown(() => { socket.close(); asked.close(); forger.close(); });
  asked.on('message', (packet, { port }) => {
    const success = Buffer.from(packet.subarray(0, 20));
    success.writeUInt16BE(0x0101, 0);
    const failure = Buffer.from(success);
    failure.writeUInt16BE(0x0111, 0);
    forger.send(failure, port, '127.0.0.1', () => {
      for (const length of [0, 3, 19]) asked.send(success.subarray(0, length), port, '127.0.0.1');
      asked.send(Buffer.concat([success.subarray(0, 2), Buffer.from([0, 8]), success.subarray(4), Buffer.from([0, 1, 0, 99, 1, 2, 3, 4])]), port, '127.0.0.1');
      asked.send(success, port, '127.0.0.1');
    });
  });
  const { message } = await socket.request({ address: '127.0.0.1', port: asked.address().port }, { method: 'binding' });
  t.match(message, { success: true });
  socket.close();
  await t.rejects(socket.request({ address: '127.0.0.1', port: 1 }, { method: 'binding' }), { code: 'E_ABORTED' });
});

t.test('any bytes are read without harm', (t) => {
  for (let round = 0; round < 2000; round += 1) {
    const bytes = Buffer.from(Array.from({ length: round % 64 }, (_, at) => (round * 31 + at * 17 + ((round * at) % 251)) & 255));
    if (bytes.length >= 20 && round % 2 === 0) { bytes.writeUInt16BE(0x0101, 0); bytes.writeUInt32BE(0x2112a442, 4); bytes.writeUInt16BE(bytes.length - 20, 2); }
    try {
      decodeStun(bytes);
    } catch (thrown) {
      t.fail(`round ${String(round)}: ${String(thrown)}`);
    }
  }
  t.end();
});
