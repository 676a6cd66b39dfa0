import type { Clock, Timer } from '../../protocol/index.js';

/** The promise of an orderly end: true when the other side has everything, false when that isn't known in time. */
export class Goodbye {
  readonly promise: Promise<boolean>;
  readonly settle: (isComplete: boolean) => void;

  constructor(clock: Clock, lingerMs: number) {
    let resolve: (isComplete: boolean) => void = () => undefined;
    this.promise = new Promise((settle) => { resolve = settle; });
    const timer = clock.setTimeout(() => { resolve(false); }, lingerMs);
    this.settle = (isComplete) => {
      timer.cancel();
      resolve(isComplete);
    };
  }
}

/** State of the goodbye with which a connection ends in order: FIN, after everything else, and FIN-ACK in answer. */
export type Life =
  | { readonly kind: 'open' }
  /** This side says FIN and waits for FIN-ACK. `answer`: the other side said FIN at the same time and waits, too. */
  | { readonly kind: 'closing'; readonly fin: 'due' | 'said'; readonly answer: 'none' | 'due'; readonly goodbye: Goodbye }
  /** The other side said FIN. FIN-ACK follows the messages that were accepted. */
  | { readonly kind: 'leaving'; readonly goodbye: Goodbye | undefined }
  /** Both have everything. `timer` limits how long the other side may take to close the channel. */
  | { readonly kind: 'finished'; readonly goodbye: Goodbye | undefined; readonly timer: Timer | undefined }
  /** The framing is of no more use, and its owner has been told. */
  | { readonly kind: 'ended'; readonly goodbye: Goodbye | undefined; readonly isComplete: boolean }
  | { readonly kind: 'stopped'; readonly goodbye: Goodbye | undefined };

export type LifeEvent =
  /** This side wants to end. */
  | { readonly kind: 'finish'; readonly goodbye: Goodbye }
  | { readonly kind: 'fin-came' }
  | { readonly kind: 'fin-ack-came' }
  | { readonly kind: 'fin-written' }
  | { readonly kind: 'fin-ack-written'; readonly timer: Timer | undefined }
  | { readonly kind: 'end' }
  | { readonly kind: 'stop' };

const goodbyeOf = (life: Life): Goodbye | undefined => (life.kind === 'open' ? undefined : life.goodbye);

/** True when the other side has everything. */
export const isComplete = (life: Life): boolean => life.kind === 'finished' || (life.kind === 'ended' && life.isComplete);

/** Returns the state after an event; the same one if the event changes nothing. */
export const nextLife = (life: Life, event: LifeEvent): Life => {
  if (event.kind === 'stop') return life.kind === 'stopped' ? life : { kind: 'stopped', goodbye: goodbyeOf(life) };
  if (life.kind === 'stopped' || life.kind === 'ended') return life;
  switch (event.kind) {
    case 'finish':
      if (goodbyeOf(life) !== undefined) return life;
      return life.kind === 'open' ? { kind: 'closing', fin: 'due', answer: 'none', goodbye: event.goodbye } : { ...life, goodbye: event.goodbye };
    case 'fin-came':
      if (life.kind === 'open') return { kind: 'leaving', goodbye: undefined };
      return life.kind === 'closing' ? { ...life, answer: 'due' } : life;
    case 'fin-ack-came':
      return life.kind === 'closing' && life.fin === 'said' ? { kind: 'finished', goodbye: life.goodbye, timer: undefined } : life;
    case 'fin-written':
      return life.kind === 'closing' ? { ...life, fin: 'said' } : life;
    case 'fin-ack-written':
      if (life.kind === 'closing') return { ...life, answer: 'none' };
      return life.kind === 'leaving' ? { kind: 'finished', goodbye: life.goodbye, timer: event.timer } : life;
    case 'end':
      return { kind: 'ended', goodbye: goodbyeOf(life), isComplete: isComplete(life) };
  }
};
