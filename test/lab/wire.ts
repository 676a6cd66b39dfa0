/**
 * A long and lossy cable, as a process of its own. It takes the datagrams in which two tunnel ends pack their
 * Ethernet frames, drops some, and forwards the others later, in order. Its argument says which socket leads
 * where. Each line of stdin sets a new quality.
 */
import { createSocket, type Socket } from 'node:dgram';
import { createInterface } from 'node:readline';

export interface WireQuality {
  readonly delayMs: number;
  /** Share of frames lost, in each direction. */
  readonly loss: number;
}

export interface WireEnd {
  /** Local address for this end's frames. */
  readonly address: string;
  readonly port: number;
  /** The tunnel end that it leads to. */
  readonly remote: string;
}

export interface WireInit extends WireQuality {
  readonly ends: readonly [WireEnd, WireEnd];
}

const main = ({ ends, ...quality }: WireInit): void => {
  let { delayMs, loss }: WireQuality = quality;
  createInterface(process.stdin).on('line', (line) => { ({ delayMs, loss } = JSON.parse(line) as WireQuality); });
  const sockets = ends.map(({ address, port }) => createSocket('udp4').on('error', () => undefined).bind(port, address)) as [Socket, Socket];
  const carry = (from: 0 | 1, to: 0 | 1): void => {
    const { port, remote } = ends[to];
    sockets[from].on('message', (frame) => {
      if (Math.random() >= loss) setTimeout(() => { sockets[to].send(frame, port, remote, () => undefined); }, delayMs);
    });
  };
  carry(0, 1);
  carry(1, 0);
  void Promise.all(sockets.map((socket) => new Promise((resolve) => { socket.once('listening', resolve); }))).then(() => { process.stdout.write('ready\n'); });
};

if (process.argv[2] !== undefined) main(JSON.parse(process.argv[2]) as WireInit);
