#!/usr/bin/env -S node --enable-source-maps
import { run } from '../dist/control/cli.js';

await run(process.argv.slice(2), import.meta.url, { development: true });
