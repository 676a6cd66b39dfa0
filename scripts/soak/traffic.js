// Pairs of hyperties: one sends numbers with receipts, the other records them.

/** Maximum number of unanswered messages of a pair. */
const OUTSTANDING = 64;
/** Messages per send: mostly one, sometimes several, which may travel as a batch. */
const BURSTS = [1, 1, 1, 8];
/** Maximum number of messages in flight to a hyperty's program. */
const WINDOW = 256;

/** One direction between two hyperties, with everything known of it. */
export class Pair {
  sent = 0;
  /** Numbers without an answer, with their sending time. */
  outstanding = new Map();
  acknowledged = new Set();
  /** Numbers refused for certain: none of them may arrive. */
  refused = new Set();
  /** Numbers that may or may not have arrived: their runtime was killed before it answered, or answered that it doesn't know. */
  unknown = new Set();
  arrived = [];
  seen = new Set();
  /** Numbers that had arrived, but weren't acknowledged, when the receiver's runtime was killed: they may come once more. */
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

  /** Returns the number of faults of each kind. */
  get faults() {
    let highest = 0;
    let reordered = 0;
    const before = new Set();
    for (const number of this.arrived) {
      // After a sender's runtime is killed, the order of its messages isn't guaranteed.
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
  /** Time of the last arrival. */
  #arrivedAt = 0;

  /** Creates the hyperties of one more pair, and subscribes the receiver's program. @param p2p the sender's wish */
  async add(sender, receiver, p2p) {
    const index = String(this.#pairs.length);
    const [from, to] = await Promise.all([sender.register(`out${index}`), receiver.register(`in${index}`)]);
    const pair = new Pair({ sender, receiver, from, to, p2p });
    this.#pairs.push(pair);
    await this.#listen(pair);
  }

  /** Starts sending: each pair sends every `ms` milliseconds, in turn. */
  start(ms) {
    let turn = 0;
    this.#timer = setInterval(() => {
      const pair = this.#pairs[turn % this.#pairs.length];
      // Each pair starts at another burst size, and moves on in each round.
      const burst = BURSTS[(turn + Math.floor(turn / this.#pairs.length)) % BURSTS.length];
      turn += 1;
      for (let count = 0; count < burst && pair.sender.program !== undefined && pair.outstanding.size < OUTSTANDING; count += 1) void this.#send(pair);
    }, ms / this.#pairs.length);
  }

  pause() {
    clearInterval(this.#timer);
  }

  /** Time since the last arrival, in milliseconds. */
  get quietMs() {
    return performance.now() - this.#arrivedAt;
  }

  get outstanding() {
    return this.#sum(({ outstanding }) => outstanding.size);
  }

  /**
   * Records that a peer's runtime was killed. Its unanswered messages are unknown; those its programs hadn't
   * acknowledged may come again.
   */
  killed(peer) {
    for (const pair of this.#pairs) {
      if (pair.sender === peer) {
        for (const number of pair.outstanding.keys()) pair.unknown.add(number);
        pair.outstanding.clear();
      }
      if (pair.receiver === peer) for (const number of pair.outstanding.keys()) if (pair.seen.has(number)) pair.mayComeAgain.add(number);
    }
  }

  /** Resumes listening, after a peer and its program came back. */
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
      // The socket has closed. Unless the runtime was killed, the number is reported as unanswered.
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
