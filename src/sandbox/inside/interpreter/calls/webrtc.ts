import { asProtoflyError, ProtoflyError, type IceServer, type WebRtcEngine, type WebRtcEvents, type WebRtcPeer } from '../../../../protocol/index.js';
import type { StubContext } from '../../../contract/stub.js';
import { hostCall, objectIn, Open } from '../host-call.js';
import type { CallGroup, Tell } from './group.js';

const MAX_PEERS = 512;

export interface WebRtcCallsComponents {
  readonly engine: WebRtcEngine;
  readonly tell: Tell;
}

/** The WebRTC engine for one stub. */
export class WebRtcCalls implements CallGroup {
  readonly #engine: WebRtcEngine;
  readonly #tell: Tell;
  readonly #relayOnly: boolean;
  /** Undefined while the peer is being made. */
  readonly #peers = new Open<{ peer?: WebRtcPeer }>('peer connections', MAX_PEERS);
  readonly calls;

  constructor({ engine, tell }: WebRtcCallsComponents, { relayOnly = false }: Pick<StubContext, 'relayOnly'>) {
    this.#engine = engine;
    this.#tell = tell;
    this.#relayOnly = relayOnly;
    this.calls = {
      offer: hostCall(['number', 'text'], (id, init) => {
        const { label, eager } = objectIn(init);
        this.#make(id, (events) => this.#engine.offer({ ...this.#ice(init), label: String(label), eager: eager === true }, events));
      }),
      answer: hostCall(['number', 'text'], (id, init) => {
        const { sdp } = objectIn(init);
        this.#make(id, (events) => this.#engine.answer({ ...this.#ice(init), sdp: String(sdp) }, events));
      }),
      peer: hostCall(['number', 'text', 'text'], (id, method, call) => this.#call(id, method, objectIn(call))),
      sendPeerText: hostCall(['number', 'text'], (id, text) => Number(this.#ready(id).send(text))),
      sendPeerBytes: hostCall(['number', 'bytes'], (id, bytes) => Number(this.#ready(id).send(bytes))),
    };
  }

  close(): void {
    for (const { peer } of this.#peers.takeAll()) peer?.close();
  }

  #ice(init: string): { readonly iceServers: readonly IceServer[]; readonly iceTransportPolicy: 'all' | 'relay' } {
    const { iceServers, iceTransportPolicy } = objectIn(init);
    return {
      iceServers: Array.isArray(iceServers) ? iceServers as IceServer[] : [],
      iceTransportPolicy: this.#relayOnly || iceTransportPolicy === 'relay' ? 'relay' : 'all',
    };
  }

  #make(id: number, run: (events: WebRtcEvents) => Promise<{ peer: WebRtcPeer; sdp: string }>): void {
    const open: { peer?: WebRtcPeer } = {};
    this.#peers.add(id, open);
    const tell = (event: string, detail = ''): void => { this.#tell('peer', id, event, detail); };
    const made = run({
      onCandidate: (candidate) => { tell('candidate', JSON.stringify(candidate)); },
      onOpen: () => { tell('open', String(open.peer?.maxFrame ?? 0)); },
      onFrame: (frame) => {
        if (typeof frame === 'string') tell('text', frame);
        else this.#tell('peer-bytes', id, frame);
      },
      onDrain: () => { tell('drain'); },
      onClose: (reason) => {
        this.#peers.delete(id);
        tell('close', JSON.stringify(reason));
      },
    });
    made.then(({ peer, sdp }) => {
      open.peer = peer;
      if (this.#peers.get(id) === open) this.#tell('peer-ready', id, sdp);
      else peer.close();
    }, (thrown: unknown) => {
      this.#peers.delete(id);
      const { code, message } = asProtoflyError(thrown);
      this.#tell('peer-failed', id, code, message);
    });
  }

  #ready(id: number): WebRtcPeer {
    const peer = this.#peers.get(id)?.peer;
    if (peer === undefined) throw new ProtoflyError('E_LINK_CLOSED', 'the peer connection is closed');
    return peer;
  }

  #call(id: number, method: string, call: Readonly<Record<string, unknown>>): string {
    if (method === 'close') {
      this.#peers.delete(id)?.peer?.close();
      return '';
    }
    const peer = this.#peers.get(id)?.peer;
    switch (method) {
      case 'addCandidate': peer?.addCandidate({ candidate: String(call['candidate']), sdpMid: String(call['sdpMid']) }); return '';
      case 'proceed': peer?.proceed(); return '';
      case 'setAnswer': peer?.setAnswer(String(call['sdp'])); return '';
      case 'maxFrame': return String(peer?.maxFrame ?? 0);
      case 'pair': return peer?.pair === undefined ? '' : JSON.stringify(peer.pair);
      default: throw new ProtoflyError('E_USAGE', `a peer has no method ${method.slice(0, 40)}`);
    }
  }
}
