/** Returns milliseconds on a clock that all processes of a machine share. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;

/** Lets other events run, including timers and sockets. */
export const breathe = () => new Promise((resolve) => { setImmediate(resolve); });

/** Returns the memory held on the heap and in buffers, in bytes. Needs a Node started with `--expose-gc`. */
export const memory = async () => {
  await breathe();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** The body of a party: runs its parent's commands, and ends with its parent. @param commands by name; each takes one argument */
export const serve = (commands, close = () => undefined) => {
  // A parent that has gone, or was late, needs no answer.
  const answer = (message) => { if (process.connected) process.send(message); };
  process.on('message', async ({ id, command, argument }) => {
    try {
      answer({ id, value: await commands[command](argument) });
    } catch (thrown) {
      answer({ id, error: thrown?.stack ?? String(thrown) });
    }
  });
  process.on('disconnect', async () => {
    await close();
    process.exit(0);
  });
};

/**
 * Sends texts of `size` for `ms` milliseconds, as fast as they are taken, then the text `end`.
 * @param post sends one text; returns a promise under backpressure
 * @returns the start time
 */
export const burst = async ({ size, ms }, post) => {
  const text = 'x'.repeat(size);
  const began = now();
  for (let sent = 1; (sent & 63) !== 0 || now() - began < ms; sent++) {
    const pressure = post(text);
    if (pressure !== undefined) await pressure;
  }
  await post('end');
  return began;
};

/** Maximum number of messages without a receipt. */
const WINDOW = 2048;

/** The same for a `send` that resolves with the receipt. @throws any rejection of `send` */
export const burstAcknowledged = async ({ size, ms }, send) => {
  const text = 'x'.repeat(size);
  let waiting = 0;
  let failed;
  let go = () => undefined;
  const done = () => {
    waiting -= 1;
    if (waiting <= WINDOW / 2) go();
  };
  const began = now();
  for (let sent = 1; (sent & 63) !== 0 || now() - began < ms; sent++) {
    waiting += 1;
    send(text).then(done, (thrown) => { failed ??= thrown; done(); });
    if (waiting >= WINDOW) await new Promise((resolve) => { go = resolve; });
    if (failed !== undefined) throw failed;
  }
  await send('end');
  return began;
};

/** Counts texts until `end`. */
export class Counter {
  #count = 0;
  #result;
  #tell;

  take(text) {
    if (text !== 'end') {
      this.#count += 1;
      return;
    }
    const result = { count: this.#count, ended: now() };
    this.#count = 0;
    if (this.#tell === undefined) this.#result = result;
    else this.#tell(result);
    this.#tell = undefined;
  }

  /** Returns the number of texts, and the time of the last one. */
  result() {
    const result = this.#result;
    this.#result = undefined;
    return result ?? new Promise((resolve) => { this.#tell = resolve; });
  }
}

/** Measures `count` round trips, one after the other, in milliseconds. */
export const roundTrips = async (count, once) => {
  const times = [];
  for (let i = 0; i < count; i++) {
    const began = now();
    await once();
    times.push(now() - began);
  }
  return times;
};
