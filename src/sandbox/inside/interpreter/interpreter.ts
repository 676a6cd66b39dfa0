import type { Link } from '../../../link/index.js';
import type { Mux } from '../../../link/mux/index.js';
import { ProtoflyError, type Clock, type Message } from '../../../protocol/index.js';
import type { StubDeployment } from '../../contract/sandbox.js';
import type { RunningStub, StartStub, StubContext } from '../../contract/stub.js';
import type { InterpreterCapabilities } from './capabilities.js';
import { BusCalls } from './calls/bus.js';
import type { CallGroup, Tell } from './calls/group.js';
import { languageCalls } from './calls/language.js';
import { TimerCalls } from './calls/timers.js';
import { Realm } from './realm.js';

/** Maximum time until a stub is active, in milliseconds. */
const READY_MS = 2000;
/** Maximum time that a stub has to close its connections, in milliseconds. */
const CLOSE_MS = 3000;

export interface InterpreterComponents {
  readonly clock: Clock;
  readonly interpreter: WebAssembly.Module;
  readonly prelude: string;
  readonly provide: InterpreterCapabilities['provide'];
}

/** Runs stubs in an interpreter, each in a realm of its own. */
export const startInterpreted = (components: InterpreterComponents): StartStub => (deployment, context, mux) =>
  new InterpretedStub(components, deployment, context, mux).start();

/** One stub, its realm and everything that it has open. */
class InterpretedStub implements RunningStub {
  readonly link: Link<Message>;
  readonly #components: InterpreterComponents;
  readonly #deployment: StubDeployment;
  readonly #context: StubContext;
  readonly #groups: CallGroup[] = [];
  readonly #bus: BusCalls;
  readonly #tell: Tell = (event, ...values) => this.#realm?.tell(event, ...values) ?? 0;
  readonly #ready: Promise<string>;
  readonly #closed: Promise<void>;
  readonly #settle: { readonly started: (name: string) => void; readonly refused: (why: ProtoflyError) => void; readonly closed: () => void };
  #realm: Realm | undefined;
  name = '';

  constructor(components: InterpreterComponents, deployment: StubDeployment, context: StubContext, mux: Mux) {
    this.#components = components;
    this.#deployment = deployment;
    this.#context = context;
    this.link = mux.open(deployment.url);
    let [started, refused, closed]: [(name: string) => void, (why: ProtoflyError) => void, () => void] = [() => undefined, () => undefined, () => undefined];
    this.#ready = new Promise((resolve, reject) => { started = resolve; refused = reject; });
    this.#ready.catch(() => undefined);
    this.#closed = new Promise((resolve) => { closed = resolve; });
    this.#settle = { started, refused, closed };
    this.#bus = new BusCalls({ link: this.link, mux, tell: this.#tell }, { owner: deployment.url });
    this.#groups.push(new TimerCalls(this.#tell), this.#bus);
  }

  /** @throws ProtoflyError `E_DESCRIPTOR` */
  async start(): Promise<this> {
    const { url, source, capabilities, config } = this.#deployment;
    const { provide, clock, interpreter, prelude } = this.#components;
    try {
      this.#groups.push(...await provide(capabilities, this.#context, this.#tell));
      const own = languageCalls({
        context: this.#context, onStarted: this.#settle.started, onClosed: this.#settle.closed,
        onRefused: (why) => { this.#settle.refused(new ProtoflyError('E_DESCRIPTOR', why)); },
      });
      this.#realm = await Realm.create({
        interpreter, prelude,
        calls: Object.assign({}, own, ...this.#groups.map(({ calls }) => calls)) as typeof own,
        onEnd: (reason) => {
          if (this.#realm !== undefined) this.#context.log('warn', `it is stopped: ${reason}`);
          this.#end(reason);
        },
        onImport: (specifier) => { this.#context.log('warn', `refused an import of ${specifier.slice(0, 80)}`); },
      });
      this.#realm.tell('start', JSON.stringify({ url, config, capabilities }));
      this.#realm.evaluate(source, url);
      const timer = clock.setTimeout(() => { this.#settle.refused(new ProtoflyError('E_DESCRIPTOR', `the stub's module can't be evaluated: the module isn't ready after ${String(READY_MS)} ms`)); }, READY_MS);
      this.name = await this.#ready.finally(() => { timer.cancel(); });
      this.#bus.listen();
      return this;
    } catch (thrown) {
      this.#end('activation failed');
      throw thrown;
    }
  }

  async close(): Promise<void> {
    if (this.#realm === undefined) return;
    const timer = this.#components.clock.setTimeout(this.#settle.closed, CLOSE_MS);
    this.#tell('close');
    await this.#closed;
    timer.cancel();
    this.#end('undeployed');
  }

  #end(reason: string): void {
    const realm = this.#realm;
    this.#realm = undefined;
    realm?.end(reason);
    this.#settle.refused(new ProtoflyError('E_DESCRIPTOR', `the stub's module can't be evaluated: ${reason}`));
    this.#settle.closed();
    for (const group of this.#groups.splice(0)) group.close();
    void this.link.close(reason);
  }
}
