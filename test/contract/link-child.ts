import { createWriteStream } from 'node:fs';
import { parentLink } from '../../src/link/pipe/index.js';
import { Mux } from '../../src/link/mux/index.js';
import { messageCodec, textCodec } from '../../src/link/index.js';
import type { Message, Backpressure } from '../../src/protocol/index.js';

/** The child process of the tests of `pipe/`. Its first argument is its task. */
const [, , task] = process.argv;

const echo = (): void => {
  const link = parentLink<Message>(messageCodec);
  link.receive((item): Backpressure => {
    process.stdout.write('an accident on stdout\n');
    return link.send(item);
  });
};

const mux = (): void => {
  const link = new Mux(parentLink(textCodec));
  link.onChannel((name, channel) => {
    if (name === 'echo') channel.receive((item) => channel.send(item));
    if (name === 'stall') channel.receive(() => new Promise(() => undefined));
    if (name === 'count') channel.receive((item) => (item.type === 'ping' ? channel.send(item) : undefined));
    if (name === 'flood') {
      channel.receive(async () => {
        for (let id = 0; ; id++) await channel.send({ id, type: 'create', from: 'hyperty://a.example/1', to: 'hyperty://b.example/2', body: { value: 'x'.repeat(1000) } } as Message);
      });
    }
    if (name === 'die') process.kill(process.pid, 'SIGKILL');
  });
};

const garbage = (): void => {
  const pipe = createWriteStream('', { fd: 3 });
  pipe.write(Buffer.from([0xff, 0x0a, 0x7b, 0x0a]));
  pipe.write('{"id":"good","type":"ping","from":"hyperty://a.example/1","to":"hyperty://b.example/2"}\n{"id":');
  pipe.end(() => { process.exit(7); });
};

const tasks: Readonly<Record<string, () => void>> = { echo, mux, garbage };
tasks[task ?? '']?.();
