import { lookup } from 'node:dns/promises';
import { asProtoflyError, ProtoflyError, type Clock, type ErrorCode, type IceEndpoint } from '../../../protocol/index.js';
import { formatEndpoint, type Endpoint } from './packet.js';
import { StunSocket } from './socket.js';

export interface ProbeComponents {
  readonly clock: Clock;
  /** Returns the addresses of this machine. */
  readonly addresses: () => readonly string[];
}

/**
 * The NAT between this machine and the servers. `none`: they see its own address. `independent`: a port has the same
 * outer port for all destinations, so others can be told. `dependent`: each destination sees another port (a symmetric
 * NAT).
 */
export type Mapping = 'none' | 'independent' | 'dependent' | 'unknown';

export interface ServerReport {
  /** `stun:host:port` or `turn:host:port`. */
  readonly server: string;
  readonly ok: boolean;
  /** This machine's address as the server sees it, or the relay's address. */
  readonly address?: string;
  readonly rttMs?: number;
  readonly error?: ErrorCode;
  readonly reason?: string;
}

export interface NetworkReport {
  /** `yes` if any server answered over UDP; `unknown` if there is none to ask. */
  readonly udp: 'yes' | 'no' | 'unknown';
  readonly mapping: Mapping;
  /** `yes` if a TURN server provides a relay; `refused` if one answers but rejects the credentials. */
  readonly turn: 'yes' | 'no' | 'refused' | 'none';
  readonly servers: readonly ServerReport[];
}

/** Maximum number of servers that are asked. */
const MAX_ASKED = 6;
const LOOKUP_MS = 2000;

interface Seen {
  readonly server: Endpoint;
  readonly mapped: Endpoint;
  readonly localPort: number;
  readonly other?: Endpoint;
}

const resolved = async ({ host }: IceEndpoint, clock: Clock): Promise<{ readonly address: string; readonly family: 4 | 6 }> => {
  const late = new Promise<never>((_, reject) => { clock.setTimeout(() => { reject(new ProtoflyError('E_NOT_FOUND', `${host} isn't looked up within ${String(LOOKUP_MS)} ms`)); }, LOOKUP_MS); });
  const found = lookup(host, { all: true }).catch((cause: unknown) => { throw new ProtoflyError('E_NOT_FOUND', `${host} is not known: ${asProtoflyError(cause).message}`, { cause }); });
  const addresses = await Promise.race([found, late]);
  const best = addresses.find(({ family }) => family === 4) ?? addresses[0];
  if (best === undefined) throw new ProtoflyError('E_NOT_FOUND', `${host} has no address`);
  return { address: best.address, family: best.family === 6 ? 6 : 4 };
};

const failed = (server: string, thrown: unknown): ServerReport => {
  const { code, message } = asProtoflyError(thrown);
  return { server, ok: false, error: code, reason: message };
};

/** Asks all servers from one port per address family, so that the addresses they see can be compared. */
class Prober {
  readonly #components: ProbeComponents;
  readonly #sockets = new Map<4 | 6, Promise<StunSocket>>();
  readonly seen: Seen[] = [];

  constructor(components: ProbeComponents) {
    this.#components = components;
  }

  async bind(endpoint: IceEndpoint): Promise<ServerReport> {
    const server = nameOf(endpoint, 'stun');
    try {
      const { address, family } = await resolved(endpoint, this.#components.clock);
      const seen = await this.#see({ address, port: endpoint.port }, family);
      return { server, ok: true, address: formatEndpoint(seen.mapped), rttMs: seen.rttMs };
    } catch (thrown) {
      return failed(server, thrown);
    }
  }

  /** If only one server answered and it has another address, asks that one, too. */
  async bindElsewhere(): Promise<void> {
    const [only] = this.seen;
    if (this.seen.length !== 1 || only?.other === undefined || this.#isOwn(only)) return;
    const family = only.other.address.includes(':') ? 6 : 4;
    // Without an answer there, the mapping stays unknown.
    await this.#see(only.other, family).catch(() => undefined);
  }

  async allocate(endpoint: IceEndpoint): Promise<ServerReport> {
    const server = nameOf(endpoint, 'turn');
    let socket: StunSocket | undefined;
    try {
      const { address, family } = await resolved(endpoint, this.#components.clock);
      socket = await StunSocket.open(family, this.#components.clock);
      const { relayed, rttMs } = await socket.allocate({ address, port: endpoint.port }, { username: endpoint.username ?? '', password: endpoint.credential ?? '' });
      return { server, ok: true, address: formatEndpoint(relayed), rttMs };
    } catch (thrown) {
      return failed(server, thrown);
    } finally {
      socket?.close();
    }
  }

  mapping(): Mapping {
    if (this.seen.some((seen) => this.#isOwn(seen))) return 'none';
    const v4 = this.seen.filter(({ mapped }) => !mapped.address.includes(':'));
    const places = new Set(v4.map(({ server }) => formatEndpoint(server)));
    if (places.size < 2) return 'unknown';
    return new Set(v4.map(({ mapped }) => formatEndpoint(mapped))).size === 1 ? 'independent' : 'dependent';
  }

  async close(): Promise<void> {
    for (const opened of await Promise.allSettled(this.#sockets.values())) if (opened.status === 'fulfilled') opened.value.close();
  }

  #isOwn({ mapped, localPort }: Seen): boolean {
    return mapped.port === localPort && this.#components.addresses().includes(mapped.address);
  }

  async #see(server: Endpoint, family: 4 | 6): Promise<Seen & { readonly rttMs: number }> {
    const opening = this.#sockets.get(family) ?? StunSocket.open(family, this.#components.clock);
    this.#sockets.set(family, opening);
    const socket = await opening;
    const { message: { mapped, other, success, error }, rttMs } = await socket.request(server, { method: 'binding' });
    if (!success || mapped === undefined) throw new ProtoflyError('E_REFUSED', `it answers ${String(error ?? 'without an address')}`);
    const seen = { server, mapped, localPort: socket.port, rttMs, ...(other === undefined ? {} : { other }) };
    this.seen.push(seen);
    return seen;
  }
}

const nameOf = ({ host, port }: IceEndpoint, kind: IceEndpoint['kind']): string => `${kind}:${formatEndpoint({ address: host, port })}`;

const unique = (endpoints: readonly IceEndpoint[]): IceEndpoint[] =>
  [...new Map(endpoints.map((endpoint) => [`${endpoint.host} ${String(endpoint.port)}`, endpoint])).values()].slice(0, MAX_ASKED);

const turnOf = (asked: readonly ServerReport[]): NetworkReport['turn'] => {
  if (asked.length === 0) return 'none';
  if (asked.some(({ ok }) => ok)) return 'yes';
  return asked.some(({ error }) => error === 'E_UNAUTHENTICATED' || error === 'E_REFUSED') ? 'refused' : 'no';
};

/** Asks all servers at once; takes 6 s at most. Never rejects: failures are part of the report. */
export const probeNetwork = async (endpoints: readonly IceEndpoint[], components: ProbeComponents): Promise<NetworkReport> => {
  const prober = new Prober(components);
  try {
    const [bound, allocated] = await Promise.all([
      // A TURN server is a STUN server, too.
      Promise.all(unique(endpoints).map((endpoint) => prober.bind(endpoint))),
      Promise.all(unique(endpoints.filter(({ kind }) => kind === 'turn')).map((endpoint) => prober.allocate(endpoint))),
    ]);
    await prober.bindElsewhere();
    const asked = [...bound, ...allocated];
    // A refusal is an answer, too.
    const answered = asked.some(({ ok, error }) => ok || error === 'E_REFUSED' || error === 'E_UNAUTHENTICATED');
    const silent = asked.some(({ error }) => error === 'E_TIMEOUT' || error === 'E_PLATFORM');
    return { udp: answered ? 'yes' : silent ? 'no' : 'unknown', mapping: prober.mapping(), turn: turnOf(allocated), servers: asked };
  } finally {
    await prober.close();
  }
};
