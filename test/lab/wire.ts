/**
 * A long and bad cable, as a process of its own: takes the datagrams in which two tunnel ends pack their Ethernet
 * frames, loses some, and hands the others on later, in their order. Its argument says which socket leads where; a line
 * of stdin how bad it is from then on.
 */
import { createSocket, type Socket } from 'node:dgram';
import { createInterface } from 'node:readline';

export interface WireQuality {
  readonly delayMs: number;
  /** Share of the frames that are lost, each way. */
  readonly loss: number;
}

export interface WireEnd {
  /** Where this end's frames come in. */
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
