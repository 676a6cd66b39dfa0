import type { ErrorCode } from '../protocol/index.js';

/** Signals that end a command. */
export type EndingSignal = 'SIGHUP' | 'SIGINT' | 'SIGTERM';

/** The exit code of a command ended by a signal: 128 plus the signal's number. */
export const EXIT_OF_SIGNAL: Readonly<Record<EndingSignal, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/** The exit code of each error code. docs/cli.md prints this table for scripts. */
export const EXIT_OF: Readonly<Record<ErrorCode, number>> = {
  E_INTERNAL: 1,
  E_STORE: 1,
  E_PLATFORM: 1,
  E_USAGE: 2,
  E_ADDRESS: 2,
  E_MESSAGE: 2,
  E_TOO_LARGE: 2,
  E_AMBIGUOUS: 2,
  E_NOT_FOUND: 3,
  E_UNREACHABLE: 4,
  E_UNAVAILABLE: 4,
  E_LINK_CLOSED: 4,
  E_TOO_MANY: 4,
  E_QUOTA: 4,
  E_TIMEOUT: 5,
  E_UNAUTHENTICATED: 6,
  E_REFUSED: 6,
  E_STRANGER: 6,
  E_PRIVATE: 6,
  E_DESCRIPTOR: 6,
  E_UNSIGNED: 6,
  E_SIGNATURE: 6,
  E_PUBLISHER: 6,
  E_PACKAGE_TYPE: 6,
  E_PACKAGE_SIZE: 6,
  E_ROLLBACK: 6,
  E_IDENTITY: 6,
  E_REPLAYED: 6,
  E_CERTIFICATE: 6,
  E_REMOVED: 6,
  E_NOT_MEMBER: 6,
  E_INVITE: 6,
  E_USER_KEY: 6,
  E_KNOCK: 6,
  E_BLOCKED: 6,
  E_NAME_TAKEN: 10,
  E_EXPIRED: 6,
  E_POLICY: 6,
  E_NOT_DIRECT: 7,
  E_PARTIAL: 8,
  E_NOT_RUNNING: 9,
  E_CONFLICT: 10,
  E_ABORTED: EXIT_OF_SIGNAL.SIGINT,
};
