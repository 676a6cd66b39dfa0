/**
 * The only error class that crosses component borders. `code` is stable and documented in docs/cli.md; branch
 * on it, never on the text. The base command maps it to an exit status.
 */
export const ERROR_STATUS = {
  E_INTERNAL: 500,
  E_USAGE: 400,
  E_ADDRESS: 400,
  E_MESSAGE: 400,
  E_TOO_LARGE: 413,
  E_TOO_MANY: 429,
  E_QUOTA: 507,
  E_AMBIGUOUS: 400,
  E_NOT_FOUND: 404,
  E_UNREACHABLE: 503,
  E_UNAVAILABLE: 408,
  E_LINK_CLOSED: 503,
  E_TIMEOUT: 408,
  E_ABORTED: 408,
  E_UNAUTHENTICATED: 401,
  E_IDENTITY: 403,
  E_REPLAYED: 403,
  E_CERTIFICATE: 403,
  E_REMOVED: 403,
  E_NOT_MEMBER: 403,
  E_INVITE: 403,
  E_NAME_TAKEN: 409,
  E_USER_KEY: 403,
  E_KNOCK: 403,
  E_BLOCKED: 403,
  E_REFUSED: 403,
  E_STRANGER: 403,
  E_PRIVATE: 403,
  E_NOT_DIRECT: 503,
  E_PARTIAL: 500,
  E_NOT_RUNNING: 503,
  E_CONFLICT: 409,
  E_DESCRIPTOR: 400,
  E_UNSIGNED: 403,
  E_SIGNATURE: 403,
  E_PUBLISHER: 403,
  E_PACKAGE_TYPE: 403,
  E_PACKAGE_SIZE: 403,
  E_ROLLBACK: 403,
  E_EXPIRED: 403,
  E_POLICY: 403,
  E_STORE: 500,
  E_PLATFORM: 500,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;
export const isErrorCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(ERROR_STATUS, code);

export interface ErrorDetails {
  /** The next step for the reader, in one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** True if the failed action may have happened nevertheless. @default false */
  readonly uncertain?: boolean;
}

export class ProtoflyError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** True if the message concerned may have arrived nevertheless. */
  readonly uncertain: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'ProtoflyError';
    this.code = code;
    this.hint = details.hint;
    this.uncertain = details.uncertain === true;
  }

  /** Recognises errors across copies of this class: every bundle has one, and a sandbox may have a realm of its own. */
  static override [Symbol.hasInstance](value: unknown): value is ProtoflyError {
    if (Object.prototype.toString.call(value) !== '[object Error]') return false;
    const { name, code } = value as { readonly name?: unknown; readonly code?: unknown };
    return name === 'ProtoflyError' && isErrorCode(code);
  }

  /** The `body.code` of the response that reports this error. */
  get status(): number {
    return ERROR_STATUS[this.code];
  }
}

const CODE_OF_STATUS: Record<number, ErrorCode> = {
  400: 'E_MESSAGE',
  401: 'E_UNAUTHENTICATED',
  403: 'E_REFUSED',
  404: 'E_NOT_FOUND',
  408: 'E_UNAVAILABLE',
  409: 'E_CONFLICT',
  413: 'E_TOO_LARGE',
  429: 'E_TOO_MANY',
  486: 'E_REFUSED',
  503: 'E_UNREACHABLE',
  507: 'E_QUOTA',
};

/** Creates the error for a response's `body.code` (≥ 300) and `body.description`. */
export const errorOfStatus = (status: number, description?: string, details?: ErrorDetails): ProtoflyError =>
  new ProtoflyError(CODE_OF_STATUS[status] ?? 'E_INTERNAL', description ?? `the other side answered ${String(status)}`, details);

/** Converts any thrown value to a ProtoflyError. Other values become `E_INTERNAL` with the value as cause. */
export const asProtoflyError = (thrown: unknown): ProtoflyError =>
  thrown instanceof ProtoflyError
    ? thrown
    : new ProtoflyError('E_INTERNAL', messageOf(thrown), { cause: thrown });

/** Returns the message of a thrown value from any realm. */
const messageOf = (thrown: unknown): string => {
  if (typeof thrown === 'string') return thrown;
  const { message } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as { readonly message?: unknown };
  return typeof message === 'string' ? message : `thrown: ${typeof thrown}`;
};
