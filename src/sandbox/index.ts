/**
 * Where protostubs run: the Sandbox port, and two kinds. `process/` gives stubs an operating-system process of their
 * own, so that native code and downloaded code crash apart; `in-process/` is for embedding and tests. Which stub runs
 * where, and what happens when a sandbox ends, is the loader's business.
 */
export * from './contract/sandbox.js';
export { inProcessSandbox } from './in-process/in-process.js';
export { processSandbox } from './guard/process.js';
