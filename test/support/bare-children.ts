/**
 * tap has every node process that a test starts load a module of its own. A sandbox's permissions refuse that, and a
 * command line under test is to be as it is. Importing this leaves the processes that a test starts alone.
 */
const state = (globalThis as Record<symbol, unknown>)[Symbol.for('process-on-spawn@*:singletonId')] as { readonly listeners: unknown[] } | undefined;
if (state !== undefined) state.listeners.length = 0;
