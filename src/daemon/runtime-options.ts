export type { ReadyLine, RuntimeDaemonOptions } from '../client/daemon-options.js';
