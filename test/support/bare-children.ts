/**
 * Stops tap from loading a module of its own into each node process that a test starts. A sandbox's permissions
 * would refuse that module, and a command line under test must stay unchanged. Importing this file is enough.
 */
const state = (globalThis as Record<symbol, unknown>)[Symbol.for('process-on-spawn@*:singletonId')] as { readonly listeners: unknown[] } | undefined;
if (state !== undefined) state.listeners.length = 0;
