import type { Attempt } from './attempt.js';

/** The last status that was reported; `live` stays, also after the connection is lost. */
export type Stage = 'created' | 'in-progress' | 'live';

interface Draining {
  /** Settles when replaced connections have delivered everything. Later messages wait for it, or they would overtake. */
  readonly draining: Promise<void> | undefined;
}

/** The generations of one requester's connection. `current` carries messages, `next` is being set up. */
export type Generations = Draining & (
  | { readonly kind: 'down'; readonly stage: Stage }
  | { readonly kind: 'settingUp'; readonly stage: Stage; readonly next: Attempt }
  | { readonly kind: 'live'; readonly current: Attempt; readonly next: Attempt | undefined }
);

export type GenerationsEvent =
  /** A set-up begins, instead of one that has failed if there is one. */
  | { readonly kind: 'attempted'; readonly attempt: Attempt }
  | { readonly kind: 'reported'; readonly stage: 'created' | 'in-progress' }
  | { readonly kind: 'live'; readonly attempt: Attempt }
  /** A replaced connection closes; messages are in flight on it. */
  | { readonly kind: 'draining'; readonly draining: Promise<void> }
  | { readonly kind: 'drained'; readonly draining: Promise<void> }
  | { readonly kind: 'ended'; readonly attempt: Attempt };

export const stageOf = (state: Generations): Stage => (state.kind === 'live' ? 'live' : state.stage);

export const currentOf = (state: Generations): Attempt | undefined => (state.kind === 'live' ? state.current : undefined);

export const nextOf = (state: Generations): Attempt | undefined => (state.kind === 'down' ? undefined : state.next);

/** Returns the state after an event; the same one if the event changes nothing. */
export const nextGenerations = (state: Generations, event: GenerationsEvent): Generations => {
  const { draining } = state;
  switch (event.kind) {
    case 'attempted':
      return state.kind === 'live' ? { ...state, next: event.attempt } : { kind: 'settingUp', stage: state.stage, next: event.attempt, draining };
    case 'reported':
      return state.kind === 'live' || state.stage === 'live' ? state : { ...state, stage: event.stage };
    case 'live':
      return { kind: 'live', current: event.attempt, next: undefined, draining };
    case 'draining':
      return { ...state, draining: event.draining };
    case 'drained':
      return draining === event.draining ? { ...state, draining: undefined } : state;
    case 'ended':
      if (nextOf(state) === event.attempt) return state.kind === 'live' ? { ...state, next: undefined } : { kind: 'down', stage: stageOf(state), draining };
      if (currentOf(state) !== event.attempt) return state;
      return nextOf(state) === undefined ? { kind: 'down', stage: 'live', draining } : { kind: 'settingUp', stage: 'live', next: nextOf(state)!, draining };
  }
};
