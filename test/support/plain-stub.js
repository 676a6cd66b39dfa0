/**
 * A message-node stub that knows nothing of protofly: a class, the global WebSocket, timers, console, and
 * `activate(url, bus, config)`.
 */
class PlainProtoStub {
  constructor(url, bus, config) {
    this._url = url;
    this._bus = bus;
    this._config = config;
    this._waiting = [];
    this._tries = 0;
    this._status('created');
    bus.addListener('*', (message) => {
      this._open();
      if (this._socket && this._socket.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify(message));
      else this._waiting.push(message);
    });
  }

  get name() {
    return 'plain';
  }

  _open() {
    if (this._socket) return;
    this._status('in-progress');
    this._socket = new WebSocket(this._config.url);
    this._socket.onopen = () => {
      this._status('live');
      this._bus.postMessage({ type: 'read', from: this._url, to: `${this._config.runtimeURL}/registry`, body: { resource: 'name' } }, (reply) => {
        console.log('the runtime answered', reply.body.value);
        this._socket.send(JSON.stringify({ hello: reply.body.value }));
        for (const message of this._waiting.splice(0)) this._socket.send(JSON.stringify(message));
      });
    };
    this._socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message instanceof Object) this._bus.postMessage(message);
    };
    this._socket.onclose = () => {
      this._socket = null;
      this._status('disconnected');
      if (++this._tries < 5) setTimeout(() => this._open(), 20);
    };
    this._socket.onerror = (event) => console.warn('socket error', event.message);
  }

  _status(value) {
    this._bus.postMessage({ type: 'update', from: this._url, to: `${this._url}/status`, body: { value } });
  }
}

export default function activate(url, bus, config) {
  return { name: 'PlainProtoStub', instance: new PlainProtoStub(url, bus, config) };
}
