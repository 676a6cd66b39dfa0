/**
 * The peer node. `Runtime` puts it together from the folders beside it. It knows no terminal, no domain server and no
 * process of its own; the daemon or the library's user provides those.
 */
export {  type StubCatalogue, type StubPackage } from './stubs/loader/index.js';
export type { Log, RuntimeComponents, RuntimeInit } from './parts.js';
export type { StubPolicy } from './stubs/policy/index.js';
export type { Criteria } from './directory/records.js';
export { Runtime } from './runtime.js';
export { inProcessSandbox, processSandbox, type SandboxFactory } from '../sandbox/index.js';
