#!/usr/bin/env -S node --enable-source-maps
import('../dist/cli/cli.js').then(({ run }) => run(process.argv.slice(2), require('node:path').dirname(__dirname), { development: true }));
