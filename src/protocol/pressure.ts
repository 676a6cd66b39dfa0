/**
 * What whoever takes a message says. Nothing: go on. A promise: taken, but give no more until it settles. It never
 * rejects.
 */
export type Backpressure = void | Promise<void>;

const nothing = (): void => undefined;

/** The pressure of several at once: until there is room at each of them. */
export const combinedBackpressure = (pressures: readonly Backpressure[]): Backpressure => {
  const pending = pressures.filter((pressure) => pressure !== undefined);
  return pending.length < 2 ? pending[0] : Promise.all(pending).then(nothing);
};
