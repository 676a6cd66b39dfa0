import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Test } from 'tap';

/** A breakable connection between a server and clients that connect to `url` instead. */
export interface Cable {
  readonly url: string;
  /** Drops everything from now on, without closing anything. */
  cut(): void;
}

/** Creates a cable to the server at `url`; removed after the test. */
export const cableTo = async (t: Test, url: string): Promise<Cable> => {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host: '127.0.0.1', port: Number(new URL(url).port), allowHalfOpen: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => { sockets.delete(socket); });
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    cut: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
  };
};
