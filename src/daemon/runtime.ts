import { asReportable } from '../kit/os-errors.js';
import { listenControl } from '../link/socket/index.js';
import { systemClock } from '../protocol/index.js';
import { userKeyFiles } from '../security/file-keeper.js';
import { ensurePrivateFolder } from '../security/private-files.js';
import { processSandbox, Runtime } from '../runtime/index.js';
import { openLmdbStore } from '../store/lmdb/index.js';
import { openLog } from './log.js';
import { packageVersion } from './package.js';
import type { Joining, RuntimeDaemonOptions } from './runtime-options.js';
import { untilTold } from './told.js';
import { withCredentials } from './turn-credentials.js';

// The process of a runtime: builds it, prints the ready line, and stops it in order.
const options = JSON.parse(process.argv.at(-1) ?? '{}') as RuntimeDaemonOptions;
const { paths, domain, domains, user, p2p, iceServers, turnCredentials, iceTransportPolicy, stubs, trust, window, accept, userKeys, lifeline = false } = options;
const joining = JSON.parse(process.env['PROTOFLY_JOIN'] ?? '{}') as Joining;
delete process.env['PROTOFLY_JOIN'];
const { log, logger } = openLog(paths.log, process.env['PROTOFLY_LOG_LEVEL']);
const say = (line: object): void => { process.stdout.write(`${JSON.stringify(line)}\n`); };
process.stdout.on('error', () => { logger.debug('nobody listens to the ready line'); });
process.on('unhandledRejection', (reason) => { logger.error({ err: reason }, 'a promise was rejected and nobody took it'); });

try {
  const told = untilTold(process, { lifeline });
  process.umask(0o077);
  ensurePrivateFolder(paths.state);
  // The socket comes first: it prevents a second daemon from using the same state.
  const waiting: ((runtime: Runtime) => void)[] = [];
  let running: Runtime | undefined;
  const server = await listenControl(paths.socket, (link) => {
    if (running !== undefined) running.serve(link);
    else waiting.push((runtime) => { runtime.serve(link); });
  }, { onRefuse: ({ message }) => { log('debug', `a program was refused: ${message}`); } });
  const store = openLmdbStore({ path: paths.state });
  const stop = async (): Promise<never> => {
    await server.close();
    await running?.stop();
    await store.close();
    logger.info('stopped');
    process.exit(0);
  };
  const ended = told.then((why) => {
    logger.info(`stops: ${why}`);
    if (running === undefined) say({ error: { code: 'E_ABORTED', message: `the runtime was told to end before it was ready: ${why}` } });
    return stop();
  });
  try {
    const starting = Runtime.start(
      { store, sandboxes: processSandbox({ log, caFile: process.env['NODE_EXTRA_CA_CERTS'] }), clock: systemClock, fetch, log, userKeys: userKeyFiles(userKeys) },
      {
        domainUrl: domain.url, domains, user, p2p, version: packageVersion(), socket: paths.socket, refusedPrograms: () => server.refused,
        ...(paths.log === undefined ? {} : { logFile: paths.log }),
        ...(iceServers === undefined ? {} : { iceServers: withCredentials(iceServers, turnCredentials) }),
        ...(iceTransportPolicy === undefined ? {} : { iceTransportPolicy }),
        ...(trust === undefined ? {} : { trust }),
        ...(accept === undefined ? {} : { accept }),
        ...joining,
        ...(stubs === undefined ? {} : { stubs }),
        ...(window === undefined ? {} : { window }),
      },
    );
    running = await Promise.race([starting, ended]);
  } catch (thrown) {
    await server.close();
    await store.close();
    throw thrown;
  }
  const runtime = running;
  for (const serve of waiting) serve(runtime);
  void runtime.stopRequested.then(() => stop());
  logger.info(`${runtime.url} has started`);
  say({ ready: true, socket: paths.socket, pid: process.pid, runtime: runtime.url });
} catch (thrown) {
  const { code, message, hint } = asReportable(thrown);
  logger.error({ err: thrown }, message);
  say({ error: { code, message, ...(hint === undefined ? {} : { hint }) } });
  process.exitCode = 1;
}
