import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { asReportable } from '../kit/os-errors.js';
import { DomainServer } from '../domain-server/index.js';
import { asProtoflyError, ProtoflyError, systemClock, type ErrorCode } from '../protocol/index.js';
import { fileKeeper } from '../security/file-keeper.js';
import { tightenFile } from '../security/private-files.js';
import { openLmdbStore } from '../store/lmdb/index.js';
import type { DomainServerOptions } from './domain-server-options.js';
import { openLog } from './log.js';
import { readSecretFile } from './secret-file.js';
import { packageVersion } from './package.js';
import { untilTold } from './told.js';

// The process of a domain server: builds it, prints the ready line, and stops it in order.

/** Exit codes other than 1. */
const EXIT: Partial<Record<ErrorCode, number>> = { E_USAGE: 2, E_CONFLICT: 10 };

/** @throws ProtoflyError `E_USAGE` */
const readOptions = (text: string | undefined): DomainServerOptions => {
  try {
    return JSON.parse(text ?? '') as DomainServerOptions;
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', 'the argument isn\'t JSON: give the options of a domain server', { cause });
  }
};

const readPem = ({ cert, key }: { readonly cert: string; readonly key: string }): { readonly cert: string; readonly key: string } => {
  try {
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `the certificate or its key can't be read: ${asProtoflyError(cause).message}`, { cause });
  }
};

/** @throws ProtoflyError `E_USAGE` */
const turnSecretOf = (file: string | undefined, inherited: string | undefined): { readonly turnSecret?: string } => {
  if (file === undefined) return inherited === undefined || inherited === '' ? {} : { turnSecret: inherited };
  return { turnSecret: readSecretFile(file) };
};

const say = (line: object): void => { process.stdout.write(`${JSON.stringify(line)}\n`); };

const serve = async (options: DomainServerOptions, logger: Logger): Promise<void> => {
  const { name, listen, publicUrl, allowOrigins, allowUnauthenticated, admission, allowVisitors, paths, tls, iceServers, turnSecretFile, protocols, catalogueDir, sessionTtlMs, lifeline = false } = options;
  process.umask(0o077);
  const told = untilTold(process, { lifeline });
  tightenFile(join(paths.state, 'publisher-key.json'));
  const store = openLmdbStore({ path: paths.state });
  let stop: () => void = () => undefined;
  const stopRequested = new Promise<string>((resolve) => { stop = () => { resolve('asked on the socket'); }; });
  const log = (text: string, { error, ...details }: Record<string, unknown> = {}): void => {
    if (error === undefined) logger.info(details, text);
    else logger.warn({ ...details, err: error }, text);
  };
  try {
    const server = new DomainServer({ store, clock: systemClock, log, publisherKeys: fileKeeper(join(paths.state, 'publisher-key.json')) }, {
      name, listen,
      adminSocket: paths.socket,
      version: packageVersion(),
      onStop: () => { stop(); },
      ...(publicUrl === undefined ? {} : { publicUrl }),
      ...(allowOrigins === undefined ? {} : { allowOrigins }),
      ...(allowUnauthenticated === undefined ? {} : { allowUnauthenticated }),
      ...(admission === undefined ? {} : { admission }),
      ...(allowVisitors === undefined ? {} : { allowVisitors }),
      ...(tls === undefined ? {} : { tls: readPem(tls) }),
      ...(catalogueDir === undefined ? {} : { catalogueDir }),
      ...(iceServers === undefined ? {} : { iceServers }),
      ...turnSecretOf(turnSecretFile, process.env['PROTOFLY_TURN_SECRET']),
      ...(protocols === undefined ? {} : { protocols }),
      ...(sessionTtlMs === undefined ? {} : { sessionTtlMs }),
    });
    const url = await server.start();
    say({ ready: true, url, socket: paths.socket, pid: process.pid });
    logger.info(`stops: ${await Promise.race([told, stopRequested])}`);
    await server.close();
  } finally {
    await store.close();
  }
};

let logger: Logger | undefined;
process.stdout.on('error', () => { logger?.debug('nobody listens to the ready line'); });
process.on('unhandledRejection', (reason) => { logger?.error({ err: reason }, 'a promise was rejected and nobody took it'); });
try {
  const options = readOptions(process.argv.at(-1));
  ({ logger } = openLog(options.paths.log, process.env['PROTOFLY_LOG_LEVEL']));
  await serve(options, logger);
  process.exit(0);
} catch (thrown) {
  const { code, message, hint } = asReportable(thrown);
  logger ??= openLog(undefined).logger;
  logger.error({ code, err: thrown }, message);
  say({ error: { code, message, ...(hint === undefined ? {} : { hint }) } });
  process.exitCode = EXIT[code] ?? 1;
}
