/**
 * A P2P handler stub that knows nothing of protofly. It reports only `value` and `resource` of a connection,
 * has no ports, speaks `rethink/1`, and distinguishes its connections by `body.peer`. `manner` in its
 * configuration: `plain`; `mute`, which never reports a connection; `deaf`, which drops received messages.
 */
class PlainHandler {
  constructor(url, bus, config, sandbox) {
    this._url = url;
    this._bus = bus;
    this._config = config;
    this._engine = sandbox.webrtc;
    this._syncher = sandbox.createSyncher();
    this._peers = new Map();
    this._last = 0;
    bus.addListener('*', (message) => this._carry(message));
    this._syncher.onInvitation((invitation) => this._invited(invitation));
    this._status('live');
  }

  async _invited(invitation) {
    const { runtime, connectionDescription: { sdp: offer }, iceCandidates } = invitation.value;
    this._status('created', runtime);
    const { peer, sdp } = await this._engine.answer({ iceServers: [], sdp: offer }, {
      onCandidate: () => undefined,
      onDrain: () => undefined,
      onOpen: () => {
        this._peers.set(runtime, peer);
        this._status('live', runtime);
      },
      onFrame: (frame) => this._deliver(frame),
      onClose: ({ failed, description }) => {
        if (this._peers.get(runtime) === peer) this._peers.delete(runtime);
        this._status(failed ? 'failed' : 'disconnected', runtime, description);
      },
    });
    for (const { candidate, sdpMid } of iceCandidates) peer.addCandidate({ candidate, sdpMid: sdpMid ?? '0' });
    peer.proceed();
    const observed = invitation.accept();
    await this._syncher.create(invitation.schema, [invitation.source], {
      name: 'answer', runtime: this._config.runtimeURL, status: 'created', connectionDescription: { type: 'answer', sdp }, iceCandidates: [],
    });
    this._status('in-progress', runtime);
    await observed;
  }

  _carry(message) {
    const peer = this._peers.get(message.body?.peer);
    if (peer === undefined) return;
    const uuid = String(++this._last).padStart(12, '0');
    peer.send(JSON.stringify({ uuid, data: { uuid, sendingTime: Date.now(), dataSize: 0, textMessage: message } }));
  }

  _deliver(frame) {
    if (this._config.manner === 'deaf') return;
    const message = JSON.parse(frame).data.textMessage;
    this._bus.postMessage({ ...message, body: { ...message.body, via: this._url } });
  }

  _status(value, resource, desc) {
    if (resource !== undefined && this._config.manner === 'mute') return;
    this._bus.postMessage({ type: 'update', from: this._url, to: `${this._url}/status`, body: { value, resource, desc } });
  }
}

export default function activate(url, bus, config, sandbox) {
  return { name: 'PlainHandler', instance: new PlainHandler(url, bus, config, sandbox) };
}
