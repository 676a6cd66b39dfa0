/**
 * Feeds the WebRTC engine everything that a hostile remote could send: mutilated descriptions, odd candidates,
 * frames that break the framing. Runs in a process of its own, because a crash here ends the process.
 */
import { createWebRtcEngine } from '../../src/sandbox/inside/webrtc/index.js';
import { ConnectionController } from '../../src/protostubs/p2p/index.js';
import { FRAMINGS, ProtoflyError, systemClock as clock, type ConnectionValue, type WebRtcEvents } from '../../src/protocol/index.js';

const seed = Number(process.env['PROTOFLY_SEED'] ?? Date.now() % 1_000_000);
let state = seed;
const random = (below: number): number => {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
const quiet = (): void => undefined;
const events: WebRtcEvents = { onCandidate: quiet, onOpen: quiet, onFrame: quiet, onDrain: quiet, onClose: quiet };

const engine = await createWebRtcEngine({ clock, log: quiet });
const LINES = ['a=candidate:1 1 UDP 1 127.0.0.1 9 typ host', 'a=candidate:x', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=max-message-size:-1', 'a=sctp-port:99999999999', 'a=setup:active', 'a=mid:\u0000', `a=${'x'.repeat(2000)}`, 'a=fingerprint:sha-256 00', 'a=ice-pwd:', 'a=ice-ufrag:'];
const CANDIDATES = ['', 'x', 'candidate:', 'candidate:1 1 UDP 1 nosuch.invalid 9 typ host', 'candidate:1 1 UDP 1 999.999.1.1 9 typ host', 'candidate:1 1 UDP 99999999999999999999 127.0.0.1 9 typ host', 'candidate:1 1 UDP 1 ::ffff:127.0.0.1 9 typ host', 'candidate:1 1 UDP 1 127.0.0.1 99999 typ host', 'candidate:1 1 TCP 1 127.0.0.1 9 typ host tcptype active', 'candidate:1 1 UDP 1 :::::: 9 typ host', 'candidate:1 1 UDP 1 127.0.0.1 9 typ \u0000', 'a=candidate:1 1 UDP 1 127.0.0.1 9 typ relay raddr x rport y'];

const mutilate = (sdp: string): string => {
  const lines = sdp.split('\r\n');
  for (let times = 1 + random(4); times > 0; times--) {
    const at = random(lines.length);
    switch (random(5)) {
      case 0: lines.splice(at, 1); break;
      case 1: lines.splice(at, 0, pick(LINES)); break;
      case 2: lines[at] = (lines[at] ?? '').slice(0, random(40)); break;
      case 3: lines[at] = (lines[at] ?? '').replace(/\d+/, () => String(random(2 ** 31))); break;
      default: lines[at] = String.fromCharCode(...Array.from({ length: random(60) }, () => random(256)));
    }
  }
  return lines.join(pick(['\r\n', '\r\n', '\n']));
};

/** Runs work that may throw only a ProtoflyError. */
const only = async (work: () => unknown): Promise<void> => {
  try {
    await work();
  } catch (thrown) {
    if (!(thrown instanceof ProtoflyError)) throw thrown;
  }
};

let tried = 0;
for (let round = 0; round < 150; round++) {
  const offered = await engine.offer({ iceServers: [], label: 'P2PChannel', eager: random(2) === 0 }, events);
  await only(async () => {
    const answered = await engine.answer({ iceServers: [], sdp: mutilate(offered.sdp) }, events);
    for (let n = 0; n < 5; n++) answered.peer.addCandidate({ candidate: pick(CANDIDATES), sdpMid: pick(['0', '', 'x', '\u0000']) });
    await only(() => { offered.peer.setAnswer(mutilate(answered.sdp)); });
    answered.peer.close();
    answered.peer.addCandidate({ candidate: CANDIDATES[5]!, sdpMid: '0' });
  });
  for (const candidate of CANDIDATES) offered.peer.addCandidate({ candidate, sdpMid: '0' });
  await only(() => { offered.peer.setAnswer(mutilate(offered.sdp)); });
  await only(() => { offered.peer.send('x'); });
  offered.peer.close();
  tried += 1;
}

const valueOf = (type: 'offer' | 'answer', sdp: string): ConnectionValue => ({ name: '', runtime: '', status: '', connectionDescription: { type, sdp }, iceCandidates: [], framings: FRAMINGS });

/** A peer connects in order and then sends garbage. Returns true if the controller ends with a reason. */
const garbage = async (): Promise<boolean> => {
  let end: (reason: string) => void = quiet;
  const ended = new Promise<string>((resolve) => { end = resolve; });
  const controller = new ConnectionController({ engine, clock, log: quiet }, {
    iceServers: [], generation: 1, setupMs: 3000, deliver: quiet, onCandidate: quiet, onLive: quiet, onHealth: quiet, onUnsent: quiet, onEnd: ({ reason }) => { end(reason); },
  });
  const offered = await engine.offer({ iceServers: [], label: 'P2PChannel', eager: false }, {
    ...events,
    onOpen: () => { for (let n = 0; n < 20; n++) void only(() => offered.peer.send(random(4) === 0 ? 'text' : Uint8Array.from({ length: 1 + random(100) }, () => random(256)))); },
  });
  const answer = await controller.answer(valueOf('offer', offered.sdp));
  controller.proceed();
  await only(() => { offered.peer.setAnswer(answer); });
  const reason = await ended;
  offered.peer.close();
  return reason.includes('broke the framing');
};

let broken = 0;
for (let round = 0; round < 10; round++) if (await garbage()) broken += 1;
if (engine.size !== 0) throw new Error(`${String(engine.size)} peers are left, seed ${String(seed)}`);
if (broken === 0) throw new Error(`no connection came to the garbage, seed ${String(seed)}`);
engine.shutdown();
console.log(`tried ${String(tried)} descriptions and ${String(broken)} connections, seed ${String(seed)}`);
