export type { ReadyLine, RuntimeDaemonOptions } from '../control/daemons/options.js';
