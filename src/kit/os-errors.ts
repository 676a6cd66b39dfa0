import { asProtoflyError, ProtoflyError } from '../protocol/index.js';

/** Advice by error code of the operating system. Such errors are neither bugs nor wrong usage. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: 'have it opened to this user, or choose another folder with PROTOFLY_HOME',
  EPERM: 'have it opened to this user, or choose another folder with PROTOFLY_HOME',
  EROFS: 'the file system is read-only: choose another folder with PROTOFLY_HOME',
  ENOTDIR: 'a part of that path is a file: choose another folder with PROTOFLY_HOME',
  ENOSPC: 'the disk is full: make room',
  EDQUOT: 'your share of the disk is used up: make room',
  EIO: 'the device reports an error: see the log of the system',
  EMFILE: 'allow this user more open files: ulimit -n 1024',
  ENFILE: 'the system has too many open files: end what you don\'t need',
  ENOMEM: 'the machine is out of memory: end what you don\'t need',
  EAGAIN: 'allow this user more processes: ulimit -u',
};

/** For watching files, ENOSPC and EMFILE mean something else than a full disk. */
const NO_WATCHERS = 'the system watches too many files: see fs.inotify.max_user_watches and max_user_instances';

/** Returns advice for an error of the operating system; undefined for any other error. */
const adviceOn = (thrown: unknown): string | undefined => {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  if (typeof code !== 'string' || typeof syscall !== 'string') return undefined;
  if (syscall === 'uv_cwd') return 'the folder that this runs in is gone: go to another one';
  if (code === 'EAGAIN' && !syscall.startsWith('spawn')) return undefined;
  if (syscall === 'watch' && (code === 'ENOSPC' || code === 'EMFILE')) return NO_WATCHERS;
  return Object.hasOwn(ADVICE, code) ? ADVICE[code] : undefined;
};

/**
 * Converts any thrown value to a reportable error. Errors of the operating system become `E_PLATFORM` with
 * advice; others are converted by `asProtoflyError`.
 */
export const asReportable = (thrown: unknown): ProtoflyError => {
  const advice = adviceOn(thrown);
  const error = asProtoflyError(thrown);
  if (advice !== undefined) return new ProtoflyError('E_PLATFORM', error.message, { cause: thrown, hint: advice });
  const { code, message, uncertain, cause, hint = adviceOn(cause) } = error;
  return hint === error.hint ? error : new ProtoflyError(code, message, { cause, uncertain, ...(hint === undefined ? {} : { hint }) });
};
