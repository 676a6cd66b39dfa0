/** The state of the acknowledgements of an event stream's client. */
export type AckDeadline =
  | { readonly name: 'even' }
  /** Since `since`, the client has acknowledged nothing from `first` on, though it was given. */
  | { readonly name: 'owing'; readonly since: number; readonly first: number; readonly taken: number }
  | { readonly name: 'overdue' };

export interface OwingLook {
  readonly now: number;
  /** Delay of the timer that triggered this check, in milliseconds. */
  readonly lateMs: number;
  /** The number of the first message given and not acknowledged. */
  readonly first: number | undefined;
  /** The bytes taken by the operating system, and whether more wait for it. */
  readonly taken: number;
  readonly pending: boolean;
  /** Time allowed for an acknowledgement, in milliseconds. */
  readonly patienceMs: number;
}

/** Delay of a timer that shows that this process itself was blocked, in milliseconds. */
const LATE_MS = 50;

/** @returns the new state, and the time the client took if it has acknowledged something */
export const nextAckDeadline = (owing: AckDeadline, { now, lateMs, first, taken, pending, patienceMs }: OwingLook): { readonly owing: AckDeadline; readonly tookMs?: number } => {
  if (owing.name === 'overdue') return { owing };
  const due: AckDeadline = first === undefined ? { name: 'even' } : { name: 'owing', since: now, first, taken };
  if (owing.name === 'even') return { owing: due };
  if (first !== owing.first) return { owing: due, tookMs: now - owing.since };
  // While the operating system still takes bytes, the client is still receiving. A delay of this process isn't
  // counted either.
  const since = pending && taken !== owing.taken ? now : Math.min(now, owing.since + (Math.abs(lateMs) > LATE_MS ? lateMs : 0));
  return { owing: now - since < patienceMs ? { name: 'owing', since, first, taken } : { name: 'overdue' } };
};
