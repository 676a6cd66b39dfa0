import type { GuestEvents } from '../border.js';
import type { HostCallTable } from '../host-call.js';

/** Tells the realm an event. Must not be called while the realm runs. @returns the prelude's answer */
export type Tell = <Name extends keyof GuestEvents>(event: Name, ...values: GuestEvents[Name]) => number;

/** Host calls about one subject, and everything that a stub opens with them. */
export interface CallGroup {
  readonly calls: HostCallTable;
  /** Closes everything. Idempotent. */
  close(): void;
}
