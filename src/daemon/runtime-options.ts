export type { Joining, ReadyLine, RuntimeDaemonOptions } from '../client/daemon-options.js';
