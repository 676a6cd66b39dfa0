import type { ProtoflyError } from '../../protocol/index.js';
import type { Carrier } from './carrier.js';

/** The state of a flow's sending. `trouble` is the last error for which a message could not be sent. */
export type Course =
  | { readonly name: 'even' }
  /** Some messages may have no carrier. They are sent again when there is one, or refused when their time is up. */
  | { readonly name: 'stuck'; readonly trouble: ProtoflyError }
  /** Messages in flight are being sent again. `done` resolves when new messages may follow. */
  | {
    readonly name: 'moving';
    readonly done: Promise<void>;
    /** Carriers that were lost meanwhile. */
    readonly lost: ReadonlySet<Carrier>;
    /** Set if a message couldn't be sent meanwhile. */
    readonly trouble: ProtoflyError | undefined;
  };

export type CourseEvent =
  | { readonly name: 'move'; readonly done: Promise<void> }
  | { readonly name: 'moved' }
  | { readonly name: 'lost'; readonly carrier: Carrier }
  | { readonly name: 'trouble'; readonly trouble: ProtoflyError }
  /** Every message has a carrier again. */
  | { readonly name: 'cleared' };

const EVEN: Course = { name: 'even' };

/** Makes every change of a flow's course. Returns the same course where an event changes nothing. */
export const nextCourse = (course: Course, event: CourseEvent): Course => {
  const isMoving = course.name === 'moving';
  switch (event.name) {
    case 'move': return isMoving ? course : { name: 'moving', done: event.done, lost: new Set(), trouble: undefined };
    case 'moved':
      if (!isMoving) return course;
      return course.trouble === undefined ? EVEN : { name: 'stuck', trouble: course.trouble };
    case 'lost': return isMoving ? { ...course, lost: new Set([...course.lost, event.carrier]) } : course;
    case 'trouble': return isMoving ? { ...course, trouble: event.trouble } : { name: 'stuck', trouble: event.trouble };
    case 'cleared': return isMoving ? { ...course, trouble: undefined } : EVEN;
  }
};
