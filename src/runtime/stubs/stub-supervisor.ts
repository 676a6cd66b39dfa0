import { asProtoflyError, ProtoflyError, type Clock, type Timer } from '../../protocol/index.js';
import { Backoff } from '../../kit/backoff.js';
import type { Protostub, Protostubs, StubInit } from './protostubs.js';

export interface StubSupervisorComponents {
  readonly clock: Clock;
  readonly stubs: Pick<Protostubs, 'deploy'>;
  /** Returns the stub to deploy, once for each attempt. A rejection counts as a failed attempt. */
  readonly describe: () => Omit<StubInit, 'onEnd'> | Promise<Omit<StubInit, 'onEnd'>>;
  /** Called when a deployment has succeeded, before those who wait for the stub get it. */
  readonly onRunning: (stub: Protostub) => void;
  /** Called when an attempt has failed or the stub ended unexpectedly; the pause has begun. */
  readonly onBackingOff: (failure: StubFailure) => void;
  /** Called when a stub that was running has ended, after `onBackingOff`. No failure means that the supervisor was closed. */
  readonly onEnd: (stub: Protostub, reason: string, failure: StubFailure | undefined) => void;
  readonly log: (level: 'debug', text: string) => void;
}

export interface StubSupervisorInit {
  /** True deploys the stub again after each pause, false only when somebody wants it. */
  readonly isKept: boolean;
  /** Words an unexpected end for users. */
  readonly describeLoss: (reason: string) => string;
}

/** The reason why the stub doesn't run. */
export interface StubFailure {
  readonly error: ProtoflyError;
  /** True if the stub ran and ended unexpectedly, false if it couldn't be deployed. */
  readonly isLoss: boolean;
  readonly pauseMs: number;
  /** End of the pause, in steady time. */
  readonly until: number;
}

type State =
  | { readonly kind: 'idle' }
  /** `failure` is that of the attempt before. */
  | { readonly kind: 'deploying'; readonly attempt: Promise<Protostub>; readonly failure: StubFailure | undefined }
  | { readonly kind: 'running'; readonly stub: Protostub }
  /** `over` resolves when this state is left, for whatever reason. */
  | { readonly kind: 'backingOff'; readonly failure: StubFailure; readonly timer: Timer; readonly over: Promise<void>; readonly leave: () => void }
  /** A stub that still runs goes on carrying until its sandbox ends. */
  | { readonly kind: 'stopped'; readonly stub: Protostub | undefined; readonly failure: StubFailure | undefined };

const BACKOFF = { firstMs: 250, maxMs: 10_000 } as const;
/** Messages wait for a lost stub if its pause ends within this time, in milliseconds. Otherwise they are refused. */
const SOON_MS = 1000;
/** A stub that ran for this long starts with the first pause again, in milliseconds. */
const STEADY_MS = 10_000;

/**
 * Keeps one protostub deployed, with growing pauses after failures:
 * `idle` → `deploying` → `running` → (unexpected end) `backingOff` → `deploying` …, and `stopped` from everywhere.
 * The sandbox owns a running stub and ends it; the supervisor ends only a stub that arrives after `close`.
 */
export class StubSupervisor {
  readonly #components: StubSupervisorComponents;
  readonly #init: StubSupervisorInit;
  readonly #backoff = new Backoff(BACKOFF);
  #state: State = { kind: 'idle' };
  /** Number of the attempt that counts. A result of an earlier attempt is discarded. */
  #generation = 0;

  constructor(components: StubSupervisorComponents, init: StubSupervisorInit) {
    this.#components = components;
    this.#init = init;
  }

  get state(): State['kind'] {
    return this.#state.kind;
  }

  /** The stub, from the end of its deployment to its own end. */
  get stub(): Protostub | undefined {
    return this.#state.kind === 'running' || this.#state.kind === 'stopped' ? this.#state.stub : undefined;
  }

  /** The last failure, until a deployment succeeds or `retry` forgets it. */
  get failure(): StubFailure | undefined {
    return 'failure' in this.#state ? this.#state.failure : undefined;
  }

  /** Deploys the stub now, even during a pause. Does nothing if it runs, is being deployed or is stopped. */
  start(): void {
    if (this.#state.kind === 'idle' || this.#state.kind === 'backingOff') void this.#begin();
  }

  /** Forgets the last failure and its pause. A kept stub is deployed now, another one when it is wanted. */
  retry(): void {
    const state = this.#state;
    if (state.kind === 'deploying') this.#to({ ...state, failure: undefined });
    if (state.kind !== 'backingOff') return;
    this.#to({ kind: 'idle' });
    if (this.#init.isKept) void this.#begin();
  }

  /**
   * Returns the stub, deployed if need be. Callers wait for an attempt in progress, and for the pause of a lost stub if
   * that is short.
   * @throws ProtoflyError the last failure during any other pause; `E_UNREACHABLE` when stopped. The promise rejects as `Protostubs.deploy`
   */
  want(): Promise<Protostub> {
    const state = this.#state;
    switch (state.kind) {
      case 'idle': return this.#begin();
      case 'deploying': return state.attempt;
      case 'running': return Promise.resolve(state.stub);
      case 'stopped': throw stopping();
      case 'backingOff': {
        const leftMs = state.failure.until - this.#components.clock.now();
        if (leftMs <= 0) return this.#begin();
        if (!state.failure.isLoss || leftMs > SOON_MS) throw state.failure.error;
        return state.over.then(() => this.want());
      }
    }
  }

  /** Ends supervision. Undeploys a stub that arrives later; leaves a running one to its sandbox. Idempotent. */
  close(): void {
    const { stub, failure } = this;
    if (this.#state.kind === 'stopped') return;
    if (this.#state.kind === 'deploying') this.#generation += 1;
    this.#to({ kind: 'stopped', stub, failure });
  }

  /** Makes every change of state: cleans up after the old one, then tells the owner of the new one. */
  #to(state: State): void {
    const before = this.#state;
    this.#state = state;
    if (before.kind === 'backingOff') {
      before.timer.cancel();
      before.leave();
    }
    if (state.kind === 'running') this.#components.onRunning(state.stub);
    if (state.kind === 'backingOff') this.#components.onBackingOff(state.failure);
  }

  #begin(): Promise<Protostub> {
    this.#generation += 1;
    const { failure } = this;
    const attempt = this.#attempt(this.#generation);
    // The state tells of a failure; nobody has to wait for the promise.
    attempt.catch(() => undefined);
    this.#to({ kind: 'deploying', attempt, failure });
    return attempt;
  }

  async #attempt(generation: number): Promise<Protostub> {
    const stub = await this.#deploy(generation).catch((thrown: unknown) => {
      const error = asProtoflyError(thrown);
      if (this.#isCurrent(generation)) this.#backOff(error, false);
      throw error;
    });
    if (!this.#isCurrent(generation)) {
      // Closed meanwhile, or the stub ended before it was handed over.
      await stub.undeploy().catch((thrown: unknown) => { this.#components.log('debug', asProtoflyError(thrown).message); });
      throw this.#state.kind === 'backingOff' ? this.#state.failure.error : stopping();
    }
    this.#to({ kind: 'running', stub });
    return stub;
  }

  async #deploy(generation: number): Promise<Protostub> {
    const init = await this.#components.describe();
    if (!this.#isCurrent(generation)) throw stopping();
    return this.#components.stubs.deploy({ ...init, onEnd: (reason) => { this.#ended(generation, reason); } });
  }

  #isCurrent(generation: number): boolean {
    return this.#generation === generation;
  }

  #ended(generation: number, reason: string): void {
    const state = this.#state;
    if (!this.#isCurrent(generation)) return;
    if (state.kind === 'deploying') this.#backOff(this.#loss(reason), true);
    else if (state.kind === 'stopped' && state.stub !== undefined) {
      this.#to({ ...state, stub: undefined });
      this.#components.onEnd(state.stub, reason, undefined);
    } else if (state.kind === 'running') {
      if (this.#components.clock.now() - state.stub.deployedAt >= STEADY_MS) this.#backoff.reset();
      const failure = this.#backOff(this.#loss(reason), true);
      this.#components.onEnd(state.stub, reason, failure);
    }
  }

  #loss(reason: string): ProtoflyError {
    return new ProtoflyError('E_UNREACHABLE', this.#init.describeLoss(reason));
  }

  #backOff(error: ProtoflyError, isLoss: boolean): StubFailure {
    const { clock } = this.#components;
    this.#generation += 1;
    const pauseMs = this.#backoff.failed();
    const failure: StubFailure = { error, isLoss, pauseMs, until: clock.now() + pauseMs };
    let leave = (): void => undefined;
    const over = new Promise<void>((resolve) => { leave = resolve; });
    const timer = clock.setTimeout(() => {
      if (this.#init.isKept) void this.#begin();
      else this.#to({ kind: 'idle' });
    }, pauseMs);
    this.#to({ kind: 'backingOff', failure, timer, over, leave });
    return failure;
  }
}

const stopping = (): ProtoflyError => new ProtoflyError('E_UNREACHABLE', 'the runtime is stopping');
