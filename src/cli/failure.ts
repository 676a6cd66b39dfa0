import { hideCredentials, isErrorCode, ProtoflyError, type ErrorCode } from '../protocol/index.js';
import { isInterruption } from './context.js';
import { EXIT_OF, EXIT_OF_SIGNAL } from './exit-codes.js';
import { asReportable } from '../kit/os-errors.js';

/** An error as reported by a command: `{"error": …}` with --json, one or two lines otherwise. */
export interface Failure {
  readonly code: ErrorCode;
  readonly exit: number;
  readonly message: string;
  readonly hint?: string;
  /** Set if the operation may have taken effect despite the error. */
  readonly uncertain?: true;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** True for an error of the command line parser, marked by `oclif`. All of them are usage errors. */
const isParserError = (thrown: unknown): thrown is Error => thrown instanceof Error && 'oclif' in thrown;

/** Removes the advice that the parser appends to its messages, and joins the lines. */
const tidy = (message: string): string => {
  const lines = message.replace(/\n*See more help with --help/g, '').split('\n').map((line) => line.trim()).filter((line) => line !== '');
  return lines.join(' ').replace(/^Parsing (--\S+) /, '$1: ');
};

export const asFailureError = (thrown: unknown, usage?: string): ProtoflyError => {
  const { code, message, hint, uncertain } = isParserError(thrown) && !(thrown instanceof ProtoflyError) ? new ProtoflyError('E_USAGE', thrown.message) : asReportable(thrown);
  const advice = hint ?? (code === 'E_USAGE' && usage !== undefined ? `see ${usage} --help` : undefined);
  return new ProtoflyError(code, hideCredentials(tidy(message)), { cause: thrown, uncertain, ...(advice === undefined ? {} : { hint: advice }) });
};

/** @param usage the command, for the hint of a usage error */
export const failureOf = (thrown: unknown, usage?: string): Failure => {
  const error = asFailureError(thrown, usage);
  const exit = isInterruption(thrown) ? EXIT_OF_SIGNAL[thrown.by] : EXIT_OF[error.code];
  const hint = error.hint ?? (error.code === 'E_INTERNAL' ? 'this is a bug; run it again with --verbose and report what it prints' : undefined);
  return { code: error.code, exit, message: error.message, ...(hint === undefined ? {} : { hint }), ...(error.uncertain ? { uncertain: true } : {}) };
};

/** Returns the error that a daemon reports as JSON `{code, message, hint}`. */
export const errorFromJson = (value: unknown): ProtoflyError => {
  if (!isRecord(value)) return new ProtoflyError('E_INTERNAL', 'the operation failed without a reason');
  const { code, message, hint } = value;
  return new ProtoflyError(isErrorCode(code) ? code : 'E_INTERNAL', typeof message === 'string' ? message : 'the operation failed without a reason', typeof hint === 'string' ? { hint } : {});
};
