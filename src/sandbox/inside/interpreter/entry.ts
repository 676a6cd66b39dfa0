import { readFileSync } from 'node:fs';
import { systemClock } from '../../../protocol/index.js';
import { runChild } from '../child.js';
import { createInterpreterCapabilities } from './capabilities.js';
import { startInterpreted } from './interpreter.js';

// The entry point of a sandbox process for foreign code. The build puts the two files beside it.
const beside = (name: string): Uint8Array => readFileSync(new URL(name, import.meta.url));

await runChild((log) => {
  const capabilities = createInterpreterCapabilities({ clock: systemClock, log }, { library: process.argv[3], isGuarded: true });
  const interpreter = new WebAssembly.Module(beside('quickjs.wasm'));
  const prelude = new TextDecoder().decode(beside('prelude.js'));
  return { start: startInterpreted({ clock: systemClock, interpreter, prelude, provide: capabilities.provide }), shutdown: capabilities.shutdown };
});
