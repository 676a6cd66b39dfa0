/**
 * What whoever takes a message says. Nothing: go on. A promise: taken, but give no more until it settles. It never
 * rejects.
 */
export type Backpressure = void | Promise<void>;

const nothing = (): void => undefined;

/** The backpressure of several at once: until there is room at each of them. */
export const combinedBackpressure = (backpressures: readonly Backpressure[]): Backpressure => {
  const pending = backpressures.filter((backpressure) => backpressure !== undefined);
  return pending.length < 2 ? pending[0] : Promise.all(pending).then(nothing);
};
