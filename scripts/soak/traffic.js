// Pairs of hyperties: one sends numbers with receipts, the other notes what comes.

/** How many numbers of a pair may be without an answer. */
const OUTSTANDING = 64;
/** What is sent at a time: mostly one, now and then some, which may travel as one. */
const BURSTS = [1, 1, 1, 8];
/** How many messages to one hyperty may be under way to its program. */
const WINDOW = 256;

/** One direction between two hyperties, and everything that is known of it. */
export class Pair {
  sent = 0;
  /** Numbers that have no answer yet, and when they were sent. */
  outstanding = new Map();
  acknowledged = new Set();
  /** Refused for certain: none of them may arrive. */
  refused = new Set();
  /** Nobody knows of them: their runtime was killed before it answered, or has answered just that. Each may have arrived or not. */
  unknown = new Set();
  arrived = [];
  seen = new Set();
  /** Had come and was not acknowledged when the receiver's runtime was killed: it may come once more. */
  mayComeAgain = new Set();
  again = 0;

  constructor({ sender, receiver, from, to, p2p }) {
    Object.assign(this, { sender, receiver, from, to, p2p });
  }

  arrive(number) {
    if (this.mayComeAgain.delete(number)) {
      this.again += 1;
      return;
    }
    this.arrived.push(number);
    this.seen.add(number);
  }

  /** What must not be, counted. */
  get faults() {
    let highest = 0;
    let reordered = 0;
    const before = new Set();
    for (const number of this.arrived) {
      // A runtime that is killed has nothing to say of the order in which what it had sent arrives.
      if (number < highest && !before.has(number) && !this.unknown.has(number)) reordered += 1;
      highest = Math.max(highest, number);
      before.add(number);
    }
    const lost = [...this.acknowledged].filter((number) => !this.seen.has(number)).length;
    const refusedAndArrived = [...this.refused].filter((number) => this.seen.has(number)).length;
    return { lost, repeated: this.arrived.length - this.seen.size, reordered, refusedAndArrived };
  }
}

/** All pairs, at one rate. */
export class Traffic {
  #pairs = [];
  #paths = {};
  #refusals = {};
  #waits = [];
  #timer;
  /** When something came last. */
  #arrivedAt = 0;

  /** Makes the hyperties of one more pair, and has the receiver's program take what comes. @param p2p what the sender wishes */
  async add(sender, receiver, p2p) {
    const index = String(this.#pairs.length);
    const [from, to] = await Promise.all([sender.register(`out${index}`), receiver.register(`in${index}`)]);
    const pair = new Pair({ sender, receiver, from, to, p2p });
    this.#pairs.push(pair);
    await this.#listen(pair);
  }

  /** Each pair sends every `ms` from now on, one after the other. */
  start(ms) {
    let turn = 0;
    this.#timer = setInterval(() => {
      const pair = this.#pairs[turn % this.#pairs.length];
      // Each pair has its own place among the bursts, and another in the next round.
      const burst = BURSTS[(turn + Math.floor(turn / this.#pairs.length)) % BURSTS.length];
      turn += 1;
      for (let count = 0; count < burst && pair.sender.program !== undefined && pair.outstanding.size < OUTSTANDING; count += 1) void this.#send(pair);
    }, ms / this.#pairs.length);
  }

  pause() {
    clearInterval(this.#timer);
  }

  /** For how long nothing has come, in milliseconds. */
  get quietMs() {
    return performance.now() - this.#arrivedAt;
  }

  get outstanding() {
    return this.#sum(({ outstanding }) => outstanding.size);
  }

  /** The runtime of a peer has been killed: what it had not answered is unknown, what its programs had not acknowledged may come again. */
  killed(peer) {
    for (const pair of this.#pairs) {
      if (pair.sender === peer) {
        for (const number of pair.outstanding.keys()) pair.unknown.add(number);
        pair.outstanding.clear();
      }
      if (pair.receiver === peer) for (const number of pair.outstanding.keys()) if (pair.seen.has(number)) pair.mayComeAgain.add(number);
    }
  }

  /** It is there again, and so is its program. */
  async resume(peer) {
    await Promise.all(this.#pairs.filter(({ receiver }) => receiver === peer).map((pair) => this.#listen(pair)));
  }

  report() {
    const faults = this.#pairs.map((pair) => pair.faults);
    const count = (name) => faults.reduce((total, fault) => total + fault[name], 0);
    const waits = this.#waits.sort((a, b) => a - b);
    const quantile = (share) => Math.round(waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? 0);
    return {
      sent: this.#sum(({ sent }) => sent), acknowledged: this.#sum(({ acknowledged }) => acknowledged.size), arrived: this.#sum(({ seen }) => seen.size),
      lost: count('lost'), repeated: count('repeated'), reordered: count('reordered'), refusedAndArrived: count('refusedAndArrived'), unanswered: this.outstanding,
      refused: this.#sum(({ refused }) => refused.size), refusals: this.#refusals,
      unknown: this.#sum(({ unknown }) => unknown.size), again: this.#sum(({ again }) => again),
      paths: this.#paths, receiptMs: { p50: quantile(0.5), p99: quantile(0.99), longest: quantile(1) },
    };
  }

  async #send(pair) {
    const number = pair.sent += 1;
    const began = performance.now();
    pair.outstanding.set(number, began);
    const wish = pair.p2p === undefined ? {} : { p2p: pair.p2p };
    try {
      const { code, path, error, uncertain } = await pair.sender.program.request(pair.to, 'create', { value: number, expect: 'receipt', ...wish }, pair.from, 0);
      pair.outstanding.delete(number);
      if (code < 300) {
        pair.acknowledged.add(number);
        this.#paths[path] = (this.#paths[path] ?? 0) + 1;
        this.#waits.push(performance.now() - began);
      } else {
        (uncertain === true ? pair.unknown : pair.refused).add(number);
        const reason = `${String(code)} ${error}`;
        this.#refusals[reason] = (this.#refusals[reason] ?? 0) + 1;
      }
    } catch {
      // The socket has closed. Unless the runtime was killed, the number stays without an answer, and is reported as that.
    }
  }

  async #listen(pair) {
    const { program } = pair.receiver;
    const ua = `${program.runtime}/ua`;
    let taken = 0;
    program.listen(pair.to, ({ body }) => {
      this.#arrivedAt = performance.now();
      pair.arrive(body.value);
      program.post({ type: 'update', from: program.address, to: ua, body: { resource: pair.to, value: { taken: taken += 1 } } });
    });
    await program.ask(ua, 'subscribe', { resource: pair.to, value: { window: WINDOW } });
  }

  #sum(of) {
    return this.#pairs.reduce((total, pair) => total + of(pair), 0);
  }
}
