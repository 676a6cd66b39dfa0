/**
 * Runs something when everything that is at hand has been handled: after the microtasks of this turn of the event loop,
 * before anything new is read.
 */
export const atEndOfTurn = (run: () => void): void => { queueMicrotask(() => { process.nextTick(run); }); };
