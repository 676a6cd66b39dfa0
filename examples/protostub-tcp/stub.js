// A protostub for a message node that speaks JSON over TCP, a message a line. docs/protostubs.md goes through it.
const MAX_LINE = 16 * 1024 * 1024;             // characters
const HIGH_WATER = 256 * 1024;                 // bytes that the network hasn't taken
const MOST_WAITING = 1000;                     // messages
const [OPEN_MS, QUIET_MS] = [10_000, 20_000];  // until there is a session; until the node is asked whether it is there
const after = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const pauseAfter = (failures) => Math.min(5000, 100 * 2 ** failures) * (0.5 + Math.random() / 2);

/** Cuts bytes into lines. They may come in any pieces: the decoder keeps the beginning of a character, `line` that of a line. */
const lineCutter = () => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let [line, length] = ['', 0];
  return (bytes) => decoder.decode(bytes, { stream: true }).split('\n').flatMap((piece, index) => {
    const whole = index === 0 ? [] : [length > MAX_LINE ? 'too long' : line];
    length = piece.length + (index === 0 ? length : 0);
    line = length > MAX_LINE ? '' : index === 0 ? line + piece : piece;
    return whole;
  });
};

class TcpStub {
  #state = 'idle';                             // then opening, live, pausing, and in the end closed
  #waiting = [];                               // messages, while there is no session
  #failures = 0; #asks = 0;
  #taken = Promise.resolve();                  // when the runtime has taken all that came
  #url; #bus; #config; #TcpSocket; #log; #socket; #timer; #heard; #token; #asked; #relief;
  constructor(url, bus, config, { TcpSocket, log }) {
    [this.#url, this.#bus, this.#config, this.#TcpSocket, this.#log] = [url, bus, config, TcpSocket, log];
    bus.addListener('*', (message) => this.#carry(message));
    this.#report('created');
  }

  #carry(message) {
    if (this.#state === 'live') return this.#send(message);
    if (this.#state === 'closed') return this.#refuse(message, 'the stub has been closed');
    if (this.#waiting.length >= MOST_WAITING) return this.#refuse(message, 'too much waits for the message node');
    this.#waiting.push(message);
    if (this.#state === 'idle') this.#connect();
  }

  /** A promise that is returned to the bus has the runtime wait before it gives more. */
  #send(message) {
    try { this.#socket.send(`${JSON.stringify(message)}\n`); } catch (error) { return this.#refuse(message, error.message); }
    if (this.#socket.bufferedAmount > HIGH_WATER) this.#relief ??= this.#relieved(this.#socket);
    return this.#relief;
  }

  async #relieved(socket) {
    while (socket === this.#socket && socket.bufferedAmount > HIGH_WATER / 4) await after(5);
    this.#relief = undefined;
  }

  #refuse({ id, type, from, to }, description) {
    if (type === 'response' || to === 'mn:/session') this.#log('info', `dropped a ${type} to ${to}: ${description}`);
    else void this.#bus.postMessage({ id, type: 'response', from: [to].flat()[0], to: from, body: { code: 503, error: 'E_UNREACHABLE', description } });
  }

  #connect() {
    const socket = new this.#TcpSocket(this.#config.url);
    const cut = lineCutter();
    [this.#state, this.#socket] = ['opening', socket];
    if (this.#failures === 0) this.#report('in-progress');
    this.#timer = setTimeout(() => { this.#dropped('no session was opened in time'); }, OPEN_MS);
    socket.onopen = () => { this.#openSession(); };
    socket.onclose = ({ reason }) => { this.#dropped(reason); };
    socket.onmessage = ({ data }) => {
      socket.pause();
      this.#heard = Date.now();
      this.#taken = this.#taken.then(() => this.#take(socket, cut, data));
    };
  }

  /** What the bus returns settles when the runtime can take more: until then nothing more is read. */
  async #take(socket, cut, bytes) {
    try {
      for (const line of cut(bytes)) if (line !== '') await this.#receive(line);
      socket.resume();
    } catch (error) {
      if (socket === this.#socket) this.#dropped(error.message);
    }
  }

  #receive(line) {
    let message;
    try { message = JSON.parse(line); } catch { /* said below */ }
    if (message?.from === undefined) return this.#log('info', `dropped what is no message: ${line.slice(0, 40)}`);
    if (message.from !== 'mn:/session') return this.#bus.postMessage(message);
    if (message.id === this.#asked?.id) this.#asked.answered(message.body ?? {});
  }

  #openSession(identity) {
    const resuming = this.#token !== undefined;
    this.#ask(resuming ? 're-open' : 'open', ({ code, challenge, runtimeToken = this.#token, description = code }) => {
      if (challenge !== undefined && identity === undefined) return this.#prove(challenge);
      this.#token = code === 200 ? runtimeToken : undefined;
      if (code !== 200) return resuming ? this.#openSession() : this.#dropped(`no session: ${description}`, 'failed');
      [this.#state, this.#failures] = ['live', 0];
      this.#listen();
      this.#report('live', { session: resuming ? 'resumed' : 'new' });
      for (const message of this.#waiting.splice(0)) void this.#send(message);
    }, identity);
  }

  #prove(challenge) {
    const [socket, to] = [this.#socket, `${this.#config.runtimeURL}/identity`];
    const opens = ({ body }) => { if (socket === this.#socket) this.#openSession(body.value ?? ''); };
    void this.#bus.postMessage({ type: 'create', from: this.#url, to, body: { value: { challenge } } }, opens);
  }

  #ask(type, answered, identity) {
    const id = `session-${++this.#asks}`;
    this.#asked = { id, answered: (body) => { this.#asked = undefined; answered(body); } };
    this.#send({ id, type, from: this.#config.runtimeURL + (type === 're-open' ? `/${this.#token}` : ''), to: 'mn:/session', body: { identity } });
  }

  #listen() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { this.#listen(); }, QUIET_MS);
    const quiet = Date.now() - this.#heard;
    if (quiet > 2.5 * QUIET_MS) this.#dropped('the message node is silent');
    else if (quiet > QUIET_MS / 2 && this.#asked === undefined) this.#ask('ping', () => undefined);
  }

  #dropped(description, status = 'disconnected') {
    if (this.#state === 'closed') return;
    this.#end('pausing', description);
    if (this.#failures === 0 || status === 'failed') this.#report(status, { description });
    this.#timer = setTimeout(() => { this.#connect(); }, pauseAfter(this.#failures++));
  }

  /** Nothing of this connection comes any more, and nothing waits for it. */
  #end(state, description) {
    clearTimeout(this.#timer);
    if (this.#socket !== undefined) Object.assign(this.#socket, { onopen: null, onmessage: null, onclose: null }).close();
    [this.#state, this.#socket, this.#asked] = [state, undefined, undefined];
    for (const message of this.#waiting.splice(0)) this.#refuse(message, description);
  }

  #report(value, more = {}) {
    void this.#bus.postMessage({ type: 'update', from: this.#url, to: `${this.#url}/status`, body: { ...more, value } });
  }

  async close() {
    if (this.#state === 'closed') return;
    const release = this.#state === 'live' && this.#config.release;
    this.#state = 'closed';
    if (release) await Promise.race([after(1000), new Promise((answered) => { this.#ask('close', answered); })]);
    this.#end('closed', 'the stub has been closed');
    this.#report('disconnected', { description: 'closed by this runtime' });
  }
}

export default function activate(url, bus, config, sandbox) {
  if (sandbox.TcpSocket === undefined) throw new Error('this stub needs to be granted tcp');
  return { name: 'msg-node-tcp', instance: new TcpStub(url, bus, config, sandbox) };
}
