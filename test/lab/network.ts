import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cable, Namespace } from './namespaces.js';
import type { WireInit, WireQuality } from './wire.js';

export type Side = 'a' | 'b';
export const SIDES: readonly Side[] = ['a', 'b'];

/** The NAT of a site's router. */
export type Nat =
  /** No NAT: it only forwards. */
  | 'none'
  /** One outer port for each inner port. Packets get in only from addresses that were sent to. */
  | 'port-restricted'
  /** Another outer port for each receiver. */
  | 'symmetric';

export interface SiteSpec {
  readonly nat: Nat;
  /** True if UDP may leave the site. @default true */
  readonly udp?: boolean;
  /** Quality of the cable to the public network, which can change later. @default a perfect cable */
  readonly wire?: WireQuality;
}

/** Addresses that exist only in the lab's namespaces. */
export const PUBLIC = '10.99.0.1';
/** A second public address: a NAT's behaviour shows only to a host that asks two addresses. */
export const ALSO_PUBLIC = '10.99.0.2';
/** Stands for the rest of the world: packets to it are lost silently, like those to private addresses on the Internet. */
const NOWHERE = '10.99.0.254';
const NUMBER = { a: 1, b: 2 } as const;
const outer = (side: Side): string => `10.99.0.1${String(NUMBER[side])}`;
const inner = (side: Side, host: number): string => `10.99.${String(NUMBER[side])}.${String(host)}`;
const subnet = (side: Side): string => inner(side, 0);
const toNowhere = (device: string): string[] => [`neigh add ${NOWHERE} lladdr 02:00:00:00:00:fe dev ${device} nud permanent`, `route add default via ${NOWHERE}`];

/**
 * Two sites and a public network between them:
 *
 *     host a ── router a ──┐                  ┌── router b ── host b
 *                          └── public: br0 ───┘
 *
 * Each is a namespace; a site with a `wire` has one more, in which the wire's process is.
 */
export class Network {
  readonly public: Namespace;
  readonly #namespaces: Namespace[] = [];
  readonly #hosts = new Map<Side, Namespace>();
  readonly #routers = new Map<Side, Namespace>();
  readonly #wires = new Map<Side, ChildProcess>();
  #addresses = 2;

  private constructor(private readonly name: string, publicNetwork: Namespace) {
    this.public = publicNetwork;
    this.#namespaces.push(publicNetwork);
  }

  /** @param name unique among the networks of this process */
  static async make(name: string, sites: Readonly<Record<Side, SiteSpec>>): Promise<Network> {
    const network = new Network(name, await Namespace.make(`${name}-public`));
    try {
      await network.public.ip('link add br0 type bridge', `addr add ${PUBLIC}/24 dev br0`, `addr add ${ALSO_PUBLIC}/24 dev br0`, 'link set br0 up', ...toNowhere('br0'));
      for (const side of SIDES) await network.#site(side, sites[side]);
      for (const side of SIDES) if (sites[side].nat === 'none') await network.#routeTo(side);
      if (SIDES.some((side) => sites[side].wire !== undefined)) await network.#completePackets();
      return network;
    } catch (error) {
      await network.remove();
      throw error;
    }
  }

  host(side: Side): Namespace {
    return this.#hosts.get(side)!;
  }

  router(side: Side): Namespace {
    return this.#routers.get(side)!;
  }

  /** Unplugs a host's cable, or plugs it in again. The router's end goes down, so the host notices. */
  cut(side: Side, isCut: boolean): Promise<void> {
    return this.router(side).ip(`link set inner ${isCut ? 'down' : 'up'}`);
  }

  /** Starts or stops dropping all UDP at the router. TCP goes on. */
  async blockUdp(side: Side, isBlocked: boolean): Promise<void> {
    await this.router(side).iptables(`${isBlocked ? '-I' : '-D'} FORWARD -p udp -j DROP`);
  }

  /** Changes the quality of a site's wire. @throws Error if it has none */
  worsen(side: Side, { delayMs, loss }: WireQuality): void {
    const wire = this.#wires.get(side);
    if (wire === undefined) throw new Error(`site ${side} has no wire`);
    wire.stdin!.write(`${JSON.stringify({ delayMs, loss })}\n`);
  }

  /** Gives the host another address, as after a change of network. */
  async readdress(side: Side): Promise<void> {
    this.#addresses += 1;
    await this.host(side).ip(
      'addr flush dev eth0', `addr add ${inner(side, this.#addresses)}/24 dev eth0`, `route add default via ${inner(side, 1)}`,
    );
  }

  /** Removes the whole network. @returns the number of processes that had to be ended in it, apart from its own. Idempotent. */
  async remove(): Promise<number> {
    for (const wire of this.#wires.values()) {
      const gone = once(wire, 'close');
      if (wire.kill('SIGKILL')) await gone;
    }
    this.#wires.clear();
    let left = 0;
    for (const namespace of this.#namespaces.splice(0)) left += await namespace.remove();
    return left;
  }

  async #add(role: string): Promise<Namespace> {
    const namespace = await Namespace.make(`${this.name}-${role}`);
    this.#namespaces.push(namespace);
    return namespace;
  }

  async #site(side: Side, { nat, udp = true, wire }: SiteSpec): Promise<void> {
    const [host, router] = [await this.#add(`host-${side}`), await this.#add(`router-${side}`)];
    this.#hosts.set(side, host);
    this.#routers.set(side, router);
    await cable(router, 'inner', host, 'eth0');
    if (wire === undefined) await cable(router, 'outer', this.public, `to-${side}`);
    else await this.#longCable(side, router, wire);
    await this.public.ip(`link set to-${side} master br0`, `link set to-${side} up`);
    await router.ip(
      `addr add ${outer(side)}/24 dev outer`, 'link set outer up', `addr add ${inner(side, 1)}/24 dev inner`, 'link set inner up', ...toNowhere('outer'),
    );
    await host.ip(`addr add ${inner(side, 2)}/24 dev eth0`, 'link set eth0 up', `route add default via ${inner(side, 1)}`);
    // Drops unsolicited packets before the router tracks them: otherwise it would keep their port from the
    // host.
    await router.iptables('-A INPUT -i outer -p udp -j DROP');
    if (nat !== 'none') {
      await router.iptables(`-t nat -A POSTROUTING -o outer -j MASQUERADE${nat === 'symmetric' ? ' --random-fully' : ''}`);
      await router.iptables('-A FORWARD -i outer -m conntrack ! --ctstate ESTABLISHED,RELATED -j DROP');
    }
    if (!udp) await this.blockUdp(side, true);
  }

  /** Creates a tunnel from the router to the public network, through a process that delays and drops frames. */
  async #longCable(side: Side, router: Namespace, quality: WireQuality): Promise<void> {
    const between = await this.#add(`wire-${side}`);
    const [net, port] = [`10.98.${String(NUMBER[side])}`, 5000 + NUMBER[side]];
    await cable(between, 'near', router, 'under');
    await cable(between, 'far', this.public, `under-${side}`);
    // The tunnel takes 50 bytes of each frame; inside it, frames must have the usual size.
    await between.ip(`addr add ${net}.1/30 dev near`, 'link set near mtu 1600 up', `addr add ${net}.5/30 dev far`, 'link set far mtu 1600 up');
    await router.ip(`addr add ${net}.2/30 dev under`, 'link set under mtu 1600 up');
    await this.public.ip(`addr add ${net}.6/30 dev under-${side}`, `link set under-${side} mtu 1600 up`, `link add to-${side} mtu 1500 type vxlan id ${String(NUMBER[side])} remote ${net}.5 dstport ${String(port)}`);
    await router.ip(`link add outer mtu 1500 type vxlan id ${String(NUMBER[side])} remote ${net}.1 dstport ${String(port)}`);
    const init: WireInit = { ...quality, ends: [{ address: `${net}.1`, port, remote: `${net}.2` }, { address: `${net}.5`, port, remote: `${net}.6` }] };
    const wire = between.spawn(process.execPath, [fileURLToPath(new URL('wire.js', import.meta.url)), JSON.stringify(init)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#wires.set(side, wire);
    await Promise.race([once(wire.stdout!, 'data'), once(wire, 'close').then(() => { throw new Error('the wire has broken'); })]);
  }

  /**
   * Completes packets in software. The kernel leaves checksums and segmentation to the outgoing interface, but
   * a virtual one does neither. Packets that pass through a program must be complete.
   */
  async #completePackets(): Promise<void> {
    for (const [namespace, device] of [[this.public, 'br0'], ...SIDES.map((side) => [this.host(side), 'eth0'] as const)] as const) {
      await namespace.ip(`link set ${device} gso_max_size 1500 gso_max_segs 1`);
      await namespace.iptables(`-t mangle -A POSTROUTING -o ${device} -p tcp -j CHECKSUM --checksum-fill`);
      await namespace.iptables(`-t mangle -A POSTROUTING -o ${device} -p udp -j CHECKSUM --checksum-fill`);
    }
  }

  /** Adds a route to a site's own addresses, if its router doesn't hide them. */
  async #routeTo(side: Side): Promise<void> {
    const other: Side = side === 'a' ? 'b' : 'a';
    for (const namespace of [this.public, this.router(other)]) await namespace.ip(`route add ${subnet(side)}/24 via ${outer(side)}`);
  }
}
