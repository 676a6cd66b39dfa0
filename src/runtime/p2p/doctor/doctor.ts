import type { MessageBus } from '../../../bus/index.js';
import {
  asProtoflyError, child, isResponse, ProtoflyError, refuse, respond, runtimeOf,
  type Address, type Clock, type ErrorCode, type RegistryRecord, type Request, type Response,
} from '../../../protocol/index.js';
import type { NetworkReport } from '../stun/index.js';
import { isRelayed, tryConnection, type TrialComponents, type Tried } from './trial.js';
import { VERDICTS, verdictOf, type Facts, type Side, type Trial, type Verdict } from './verdict.js';

export interface DoctorComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  /** Probes the STUN and TURN servers. Never rejects. */
  readonly probe: () => Promise<NetworkReport>;
  /** True if the own domain's message node is connected. */
  readonly isConnected: () => boolean;
  /** Returns whether P2P is on, and whether only TURN servers may be used. */
  readonly p2p: () => { readonly on: boolean; readonly relayOnly: boolean };
  /** Returns a record of the runtime at which `what` lives. @throws ProtoflyError */
  readonly host: (what: string) => Promise<RegistryRecord>;
  readonly connections: TrialComponents;
}

export interface DoctorInit {
  readonly runtime: Address;
}

/** The doctor's answer. @see docs/control.md */
export interface Diagnosis {
  readonly verdict: Verdict;
  readonly summary: string;
  readonly next?: string;
  readonly remoteRuntime?: Address;
  readonly here: Side;
  readonly peer?: Side;
  readonly pair?: unknown;
  readonly setupMs?: unknown;
  /** The reason why the attempted set-up failed. */
  readonly reason?: string;
}

/** Time that a network report is reused, in milliseconds. */
const FRESH_MS = 15_000;
/** Timeout of requests to the other side, in milliseconds: its servers may be silent. */
const PEER_MS = 10_000;
/** Maximum number of requests from others answered within `WINDOW_MS`. */
const MAX_QUESTIONS = 20;
const WINDOW_MS = 10_000;
/** Errors that mean that a domain is unreachable, rather than someone in it. */
const AWAY: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['E_UNREACHABLE', 'E_TIMEOUT', 'E_LINK_CLOSED']);

const KINDS = { udp: ['yes', 'no', 'unknown'], mapping: ['none', 'independent', 'dependent', 'unknown'], turn: ['yes', 'no', 'refused', 'none'] } as const;

const oneOf = <T extends string>(known: readonly T[], value: unknown): T | undefined => known.find((one) => one === value);

/** Parses the other side's report; undefined if it is malformed. */
const sideIn = (value: unknown): Side | undefined => {
  const { p2p, udp, mapping, turn } = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  if (typeof p2p !== 'boolean') return undefined;
  return { p2p, udp: oneOf(KINDS.udp, udp) ?? 'unknown', mapping: oneOf(KINDS.mapping, mapping) ?? 'unknown', turn: oneOf(KINDS.turn, turn) ?? 'none' };
};

/**
 * `<runtime>/doctor`: reports obstacles to P2P connections of this runtime, in detail to its programs and in four fields
 * to other runtimes.
 */
export class Doctor {
  readonly #components: DoctorComponents;
  readonly #address: Address;
  #report: { readonly at: number; readonly network: Promise<NetworkReport> } | undefined;
  #window = 0;
  #questions = 0;

  constructor(components: DoctorComponents, init: DoctorInit) {
    this.#components = components;
    this.#address = child(init.runtime, 'doctor');
    const { bus } = components;
    bus.addListener(this.#address, (message, origin) => {
      if (isResponse(message)) return undefined;
      const answer = origin?.isProgram === true ? this.#answer(message) : this.#answerOther(message);
      void answer.then(
        (value) => bus.post(respond(message, 200, { value }, this.#address)),
        (thrown: unknown) => bus.post(refuse(message, asProtoflyError(thrown), this.#address)),
      );
      return undefined;
    });
  }

  /** Examines both sides and attempts a set-up. @throws ProtoflyError if `what` can't be resolved */
  async diagnose(what: string, connect: boolean): Promise<Diagnosis> {
    const here = this.#side();
    let record: RegistryRecord | undefined;
    let domain = this.#components.isConnected();
    if (domain) {
      record = await this.#components.host(what).catch((thrown: unknown) => {
        if (!AWAY.has(asProtoflyError(thrown).code)) throw thrown;
        domain = false;
        return undefined;
      });
    }
    if (record === undefined) return this.#diagnosis({ domain, here: await here, peer: 'silent', trial: { result: 'none' } });
    const pointless = new AbortController();
    const asking = this.#askPeer(record);
    void asking.then((peer) => { if (peer === 'offline' || peer === 'away') pointless.abort(); });
    const [own, peer, tried] = await Promise.all([here, asking, this.#try(record, connect, pointless.signal)]);
    if (peer === 'away') domain = false;
    const facts: Facts = { domain, here: own, peer: peer === 'away' ? 'silent' : this.#withRecord(peer, record), trial: await this.#relayedThere(record, tried.trial) };
    return this.#diagnosis(facts, record, tried);
  }

  #diagnosis(facts: Facts, record?: RegistryRecord, { connection, reason }: Partial<Tried> = {}): Diagnosis {
    const verdict = verdictOf(facts);
    const { summary, next } = VERDICTS[verdict];
    const { relayOnly: _, ...here } = facts.here;
    return {
      verdict, summary,
      ...(next === undefined ? {} : { next }),
      ...(record === undefined ? {} : { remoteRuntime: record.runtime }),
      here,
      ...(typeof facts.peer === 'string' ? {} : { peer: facts.peer }),
      ...(connection === undefined ? {} : { pair: connection.details['pair'], setupMs: connection.details['setupMs'] }),
      ...(reason === undefined ? {} : { reason }),
    };
  }

  async #answer(request: Request): Promise<unknown> {
    if (request.type === 'read') return { ...(await this.#side()), servers: (await this.#network()).servers };
    const { address, connect } = (request.body?.value ?? {}) as { readonly address?: unknown; readonly connect?: unknown };
    if (request.type !== 'execute' || request.body?.resource !== '/p2p' || typeof address !== 'string') {
      throw new ProtoflyError('E_USAGE', `${this.#address} can be read, and execute /p2p with an address`);
    }
    return this.diagnose(address, connect !== false);
  }

  /** Answers another runtime, with only the fields that it needs to interpret a set-up. */
  async #answerOther(request: Request): Promise<unknown> {
    if (request.type !== 'read') throw new ProtoflyError('E_REFUSED', `${this.#address} can be read, no more, by others`);
    const now = this.#components.clock.now();
    if (now - this.#window >= WINDOW_MS) [this.#window, this.#questions] = [now, 0];
    if (++this.#questions > MAX_QUESTIONS) throw new ProtoflyError('E_TOO_MANY', 'too many questions');
    const asker = runtimeOf(request.from);
    const connection = asker === undefined ? undefined : this.#components.connections.live(asker);
    const { relayOnly: _, ...side } = await this.#side();
    return { ...side, ...(connection === undefined ? {} : { connection: isRelayed(connection) ? 'relay' : 'direct' }) };
  }

  async #side(): Promise<Facts['here']> {
    const { udp, mapping, turn } = await this.#network();
    const { on, relayOnly } = this.#components.p2p();
    return { p2p: on, udp, mapping, turn, relayOnly };
  }

  /** Returns a recent network report, so that many requests cause few probes. */
  #network(): Promise<NetworkReport> {
    const now = this.#components.clock.now();
    if (this.#report === undefined || now - this.#report.at >= FRESH_MS) this.#report = { at: now, network: this.#components.probe() };
    return this.#report.network;
  }

  #ask(type: 'read' | 'ping', to: Address): Promise<Response> {
    return this.#components.bus.request({ type, from: this.#address, to, body: { p2p: false } }, { timeoutMs: PEER_MS });
  }

  async #askPeer({ runtime, status }: RegistryRecord): Promise<Facts['peer'] | 'away'> {
    if (status !== 'live') return 'offline';
    const { body } = await this.#ask('read', child(runtime, 'doctor'));
    const error = body['error'];
    if (body.code === 200) return sideIn(body.value) ?? 'too-old';
    if (error === 'E_TIMEOUT') return 'silent';
    if (body.code === 408) return 'offline';
    if (body.code === 503) return 'away';
    if (body.code === 429) return { p2p: true, udp: 'unknown', mapping: 'unknown', turn: 'none' };
    // The address is unknown to a domain without that runtime, and to a runtime of an earlier version. Only the latter
    // answers a ping.
    const there = await this.#ask('ping', runtime);
    return there.body.code === 200 ? 'too-old' : there.body['error'] === 'E_TIMEOUT' ? 'silent' : 'offline';
  }

  /** Adds that the peer takes no P2P connections, if its record names no handler. */
  #withRecord(peer: Facts['peer'], { p2pHandler }: RegistryRecord): Facts['peer'] {
    if (p2pHandler !== undefined || peer === 'offline' || peer === 'silent') return peer;
    return { ...(typeof peer === 'string' ? { udp: 'unknown', mapping: 'unknown', turn: 'none' } : peer), p2p: false };
  }

  async #try(record: RegistryRecord, connect: boolean, signal: AbortSignal): Promise<Tried> {
    const { connections, p2p } = this.#components;
    const isPossible = connect && p2p().on && record.p2pHandler !== undefined && record.status === 'live';
    if (isPossible || connections.live(record.runtime) !== undefined) return tryConnection(connections, record, signal);
    return { trial: { result: 'none' } };
  }

  /** Asks the peer whether the connection is relayed: its relay can look like any address from here. */
  async #relayedThere({ runtime }: RegistryRecord, trial: Trial): Promise<Trial> {
    if (trial.result !== 'live' || trial.relayed) return trial;
    const { body } = await this.#ask('read', child(runtime, 'doctor'));
    return { result: 'live', relayed: (body.value as { readonly connection?: unknown } | undefined)?.connection === 'relay' };
  }
}
