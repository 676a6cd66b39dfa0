// A domain whose message node speaks JSON over TCP, a message a line. docs/protostubs.md goes through it.
import { createServer } from 'node:net';
import { domainHome, DomainServer, systemClock } from 'protofly';

const NAME = 'lines.example';
const HTTP = { host: '127.0.0.1', port: 9090 };
const TCP = { host: '127.0.0.1', port: 9091 };

const { store, adminSocket } = await domainHome(NAME);

const domain = new DomainServer({ store, clock: systemClock }, {
  name: NAME,
  listen: HTTP,
  protocols: [],
  messageNode: { tcp: `tcp://${TCP.host}:${TCP.port}` },
  adminSocket,
  onStop: () => { end(); },
});
const lines = createServer({ allowHalfOpen: true }, (socket) => { domain.serveLines(socket); });

let ending;
const end = () => {
  ending ??= (async () => {
    lines.close();
    await domain.close();
    await store.close();
  })();
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, end);

const url = await domain.start();
lines.once('error', (error) => {
  console.error(`can't listen at ${TCP.host}:${TCP.port}: ${error.message}`);
  process.exitCode = 1;
  end();
});
lines.listen(TCP.port, TCP.host, () => { console.log(`${NAME}: catalogue at ${url}, message node at tcp://${TCP.host}:${TCP.port}`); });
