import { spawn } from 'node:child_process';
import { compare } from '../support/statistics.js';

const wallTime = (start) => new Promise((resolve, reject) => {
  const began = performance.now();
  start().once('error', reject).once('close', (code) => {
    if (code === 0) resolve(performance.now() - began);
    else reject(new Error(`the command ended with ${code}`));
  });
});

/** P5: a message sent from the command line to a program of another runtime, against a Node that does nothing. */
export const measure = async (parties, { commands }) => {
  const home = parties.home();
  const { url } = await home.domain();
  await Promise.all(['alice', 'bob'].map((profile) => home.runtime(profile, url)));
  await Promise.all([home.run('alice', 'hyperty', 'register', 'out'), home.run('bob', 'hyperty', 'register', 'in')]);
  await home.run('alice', 'p2p', 'connect', 'bob/in');
  const tail = home.spawn('bob', ['msg', 'tail', 'in'], 'ignore');
  try {
    const ours = () => wallTime(() => home.spawn('alice', ['msg', 'send', 'bob/in', 'hello'], ['ignore', 'ignore', 'inherit']));
    // Uses the same bare environment: Node starts later if the environment names certificates.
    const reference = () => wallTime(() => spawn(process.execPath, ['-e', '0'], { env: { PATH: process.env.PATH }, stdio: 'ignore' }));
    await ours();
    return [{ what: 'msg send, wall time', unit: 'ms', ...(await compare(commands, ours, reference)), goal: { most: 1.5 } }];
  } finally {
    tail.kill();
  }
};
