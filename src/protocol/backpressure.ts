/**
 * The result of taking a message. Undefined: the caller may go on. A promise: the message was taken, but the
 * caller should send no more until the promise settles. It never rejects.
 */
export type Backpressure = void | Promise<void>;

const nothing = (): void => undefined;

/** Combines the backpressure of several receivers: pending until all of them have room. */
export const combinedBackpressure = (backpressures: readonly Backpressure[]): Backpressure => {
  const pending = backpressures.filter((backpressure) => backpressure !== undefined);
  return pending.length < 2 ? pending[0] : Promise.all(pending).then(nothing);
};
