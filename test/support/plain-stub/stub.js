class PlainProtoStub {
  constructor(url, bus, config) {
    this._url = url;
    this._bus = bus;
    this._config = config;
    this._queue = [];
    this._bus.addListener('*', (msg) => {
      this._open(() => this._sock.send(JSON.stringify(msg)));
    });
    this._sendStatus('created');
  }

  _open(callback) {
    if (this._live) return callback();
    this._queue.push(callback);
    if (this._sock) return;
    this._sendStatus('in-progress');
    this._sock = new WebSocket(this._config.url);
    this._sock.onopen = () => this._openSession();
    this._sock.onmessage = (event) => this._onMessage(JSON.parse(event.data));
    this._sock.onclose = (event) => {
      this._sock = null;
      this._live = false;
      this._sendStatus('disconnected', event.reason);
      setTimeout(() => this._open(() => undefined), 500);
    };
  }

  _openSession(identity) {
    this._sock.send(JSON.stringify({ id: 1, type: 'open', from: this._config.runtimeURL, to: 'mn:/session', body: { identity } }));
  }

  _prove(challenge) {
    const to = this._config.runtimeURL + '/identity';
    this._bus.postMessage({ type: 'create', from: this._url, to, body: { value: { challenge } } }, (reply) => this._openSession(reply.body.value));
  }

  _onMessage(msg) {
    if (msg.from !== 'mn:/session') return this._bus.postMessage(msg);
    if (msg.body.challenge) return this._prove(msg.body.challenge);
    if (msg.body.code !== 200) return this._sendStatus('failed', msg.body.description);
    this._live = true;
    this._sendStatus('live');
    this._queue.splice(0).forEach((callback) => callback());
  }

  _sendStatus(value, description) {
    this._bus.postMessage({ type: 'update', from: this._url, to: this._url + '/status', body: { value, description } });
  }
}

export default function activate(url, bus, config) {
  return { name: 'PlainProtoStub', instance: new PlainProtoStub(url, bus, config) };
}
