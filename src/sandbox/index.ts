/**
 * The Sandbox port, where protostubs run, and two implementations. A process sandbox gives stubs an
 * operating-system process of their own, so that a crash of native or downloaded code stays there.
 * `in-process/` is for embedding and tests. The loader decides which stub runs where, and what happens when a
 * sandbox ends.
 */
export * from './contract/sandbox.js';
export { inProcessSandbox } from './in-process/in-process.js';
export { processSandbox } from './guard/process.js';
