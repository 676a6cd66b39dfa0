import { readFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import type { Test } from 'tap';
import { MessageBus } from '../../src/bus/index.js';
import { memoryPair } from '../../src/link/memory/index.js';
import { isResponse, isWithin, parseAddress, respond, systemClock, type Address, type Message, type Request } from '../../src/protocol/index.js';
import { processSandbox, type DeployedStub, type Sandbox } from '../../src/sandbox/index.js';

export const RUNTIME = parseAddress('hyperty-runtime://example.com/r');
export const CARRIED_FROM = parseAddress('hyperty://example.com/afar');
export const CARRIED_TO = parseAddress('hyperty://example.com/here');
export const FORGED_FROM = parseAddress('hyperty://example.com/bob');

export interface Figures {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
}

export const show = ({ count, p50, p99, worst }: Figures): string => `${String(count)} requests, p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, worst ${worst.toFixed(1)} ms`;

/** A daemon's bus with two clients. An attack may disturb the requests between them. */
export class Scene {
  readonly bus = new MessageBus({ clock: systemClock }, { maxWaiting: 100 });
  readonly lines: string[] = [];
  /** Messages from stubs, by receiver. */
  readonly heard = new Map<string, Message[]>();
  readonly #waiting = new Set<() => void>();
  #asker: ReturnType<typeof memoryPair<Message>>[0];
  #answer: ((id: Message['id']) => void) | undefined;

  constructor() {
    const a = parseAddress('hyperty://example.com/asker');
    const b = parseAddress('hyperty://example.com/answerer');
    const [asker, nearA] = memoryPair<Message>();
    const [answerer, nearB] = memoryPair<Message>();
    for (const [address, near] of [[a, nearA], [b, nearB]] as const) {
      this.bus.addListener(address, (message) => near.send(message), near);
      near.receive((message) => this.bus.post(message, near));
    }
    answerer.receive((message) => (isResponse(message) ? undefined : answerer.send(respond(message, 200, { value: message.body?.value }))));
    asker.receive((message) => { this.#answer?.(message.id); });
    for (const address of [RUNTIME, `${RUNTIME}/registry`, `${RUNTIME}/still`, CARRIED_TO] as Address[]) {
      this.bus.addListener(address, (message) => { this.#hear(address, message); });
    }
    this.#asker = asker;
  }

  /** Starts a sandbox process whose log is kept. */
  async sandbox(t: Test, name: string): Promise<Sandbox> {
    const sandbox = await processSandbox({
      log: (level, text) => { this.lines.push(`${level} ${text}`); this.#wake(); },
      heartbeatMs: 3000, conduct: { patienceMs: 1500 },
    })(name);
    t.teardown(() => sandbox.close());
    return sandbox;
  }

  async deploy(sandbox: Sandbox, file: string, own: string): Promise<DeployedStub> {
    const url = parseAddress(`${RUNTIME}/protostub/${file}`);
    const source = await readFile(new URL(`./hostile-stubs/${file}.js`, import.meta.url), 'utf8');
    const config = { runtimeURL: RUNTIME, carriedFrom: CARRIED_FROM, carriedTo: CARRIED_TO, forgedFrom: FORGED_FROM, own };
    const stub = await sandbox.deploy({ url, source, config, capabilities: ['websocket', 'http', 'tcp'], servers: [own] });
    // As a registry does: refuses messages in the name of a local program, and counts them as violations.
    stub.link.receive((message) => {
      if (message.from === FORGED_FROM) stub.misbehaved('forges senders');
      else if (!isWithin(message.from, url) && message.from !== CARRIED_FROM) stub.misbehaved('speaks for strangers');
      else return this.bus.post(message, stub.link);
      return undefined;
    });
    stub.onPort((_address, port) => { void port.close('not wanted'); });
    return stub;
  }

  /** Measures requests between the clients, one after the other, until `end` settles, and at least 300. */
  async measure(end: Promise<unknown>): Promise<Figures> {
    const times: number[] = [];
    let going = true;
    void end.finally(() => { going = false; });
    const message: Omit<Request, 'id'> = { type: 'read', from: parseAddress('hyperty://example.com/asker'), to: parseAddress('hyperty://example.com/answerer'), body: { value: 1 } };
    for (let id = 1; going || times.length < 300; id++) {
      const started = performance.now();
      await new Promise<void>((resolve) => {
        this.#answer = (answered) => { if (answered === id) resolve(); };
        void this.#asker.send({ ...message, id });
      });
      times.push(performance.now() - started);
      await new Promise((resolve) => { setTimeout(resolve, 1); });
    }
    times.sort((one, other) => one - other);
    const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? NaN;
    return { count: times.length, p50: at(0.5), p99: at(0.99), worst: at(1) };
  }

  /** Waits until `look` returns true. Checks again whenever a message or a log line comes. */
  async until(look: () => boolean): Promise<void> {
    while (!look()) await new Promise<void>((resolve) => { this.#waiting.add(resolve); });
  }

  count(address: string): number {
    return this.heard.get(address)?.length ?? 0;
  }

  /** Returns the number of logged lines that contain `part`. */
  logged(part: string): number {
    return this.lines.filter((line) => line.includes(part)).length;
  }

  #hear(address: Address, message: Message): void {
    const list = this.heard.get(address) ?? [];
    this.heard.set(address, list);
    list.push(message);
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
