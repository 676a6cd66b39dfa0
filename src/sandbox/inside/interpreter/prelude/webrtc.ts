import { isErrorCode, ProtoflyError, type CandidatePair, type WebRtcEngine, type WebRtcEvents, type WebRtcPeer } from '../../../../protocol/index.js';
import { attempt, bytesIn, counter, host } from './host.js';

interface Peer {
  readonly events: WebRtcEvents;
  readonly onReady: (sdp: string) => void;
  readonly onFailed: (thrown: unknown) => void;
}

const nextId = counter();
const peers = new Map<number, Peer>();

const peerOf = (id: number): WebRtcPeer => {
  const call = (method: string, args: object = {}): string => host.peer(id, method, JSON.stringify(args));
  return {
    addCandidate: ({ candidate, sdpMid }) => { call('addCandidate', { candidate, sdpMid }); },
    proceed: () => { call('proceed'); },
    setAnswer: (sdp) => { call('setAnswer', { sdp }); },
    send: (frame) => (typeof frame === 'string' ? host.sendPeerText(id, frame) : host.sendPeerBytes(id, bytesIn(frame) ?? new ArrayBuffer(0))) === 1,
    get maxFrame() { return Number(call('maxFrame')); },
    get pair() {
      const text = call('pair');
      return text === '' ? undefined : JSON.parse(text) as CandidatePair;
    },
    close: () => {
      peers.delete(id);
      call('close');
    },
  };
};

const make = (events: WebRtcEvents, begin: (id: number) => void): Promise<{ peer: WebRtcPeer; sdp: string }> => new Promise((resolve, reject) => {
  const id = nextId();
  begin(id);
  peers.set(id, {
    events,
    onReady: (sdp) => { resolve({ peer: peerOf(id), sdp }); },
    onFailed: (thrown) => {
      peers.delete(id);
      reject(thrown as Error);
    },
  });
});

export const webrtc: WebRtcEngine = Object.freeze<WebRtcEngine>({
  offer: (init, events) => make(events, (id) => { host.offer(id, JSON.stringify(init)); }),
  answer: (init, events) => make(events, (id) => { host.answer(id, JSON.stringify(init)); }),
});

export const onPeerReady = (id: number, sdp: string): void => { peers.get(id)?.onReady(sdp); };
export const onPeerFailed = (id: number, code: string, message: string): void => { peers.get(id)?.onFailed(isErrorCode(code) ? new ProtoflyError(code, message) : new Error(message)); };
export const onPeerBytes = (id: number, bytes: ArrayBuffer): void => { attempt(() => { peers.get(id)?.events.onFrame(new Uint8Array(bytes)); }); };
export const onPeer = (id: number, event: string, detail: string): void => {
  const events = peers.get(id)?.events;
  if (event === 'close') peers.delete(id);
  attempt(() => {
    switch (event) {
      case 'candidate': events?.onCandidate(JSON.parse(detail) as Parameters<WebRtcEvents['onCandidate']>[0]); break;
      case 'open': events?.onOpen(); break;
      case 'text': events?.onFrame(detail); break;
      case 'drain': events?.onDrain(); break;
      case 'close': events?.onClose(JSON.parse(detail) as Parameters<WebRtcEvents['onClose']>[0]); break;
      default:
    }
  });
};
