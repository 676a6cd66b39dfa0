/** How far a client is with acknowledging what its event stream gave it. */
export type AckDeadline =
  | { readonly name: 'even' }
  /** `first` was given, and nothing from there on was acknowledged since `since`. */
  | { readonly name: 'owing'; readonly since: number; readonly first: number; readonly taken: number }
  | { readonly name: 'overdue' };

export interface OwingLook {
  readonly now: number;
  /** How much later than it was due. */
  readonly lateMs: number;
  /** The first message that was given and isn't acknowledged. */
  readonly first: number | undefined;
  /** Bytes that the system has taken, and whether it has yet to take more. */
  readonly taken: number;
  readonly pending: boolean;
  /** How long an acknowledgement may take. */
  readonly patienceMs: number;
}

/** A timer that is so much later than it was due says that this process itself stood still. */
const LATE_MS = 50;

/** @returns besides, how long the client took, where it has acknowledged something */
export const nextOwing = (owing: AckDeadline, { now, lateMs, first, taken, pending, patienceMs }: OwingLook): { readonly owing: AckDeadline; readonly tookMs?: number } => {
  if (owing.name === 'overdue') return { owing };
  const due: AckDeadline = first === undefined ? { name: 'even' } : { name: 'owing', since: now, first, taken };
  if (owing.name === 'even') return { owing: due };
  if (first !== owing.first) return { owing: due, tookMs: now - owing.since };
  // While the system takes what waits for it, the other side's does.
  const since = pending && taken !== owing.taken ? now : Math.min(now, owing.since + (Math.abs(lateMs) > LATE_MS ? lateMs : 0));
  return { owing: now - since < patienceMs ? { name: 'owing', since, first, taken } : { name: 'overdue' } };
};
