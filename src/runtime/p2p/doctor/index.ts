/**
 * Explains why two runtimes can or can't connect directly. Examines this side, asks the other side's doctor, attempts a
 * set-up, and derives one verdict (`verdict.ts`, a pure function). It changes nothing apart from the attempted
 * connection.
 */
export { Doctor, type Diagnosis, type DoctorComponents, type DoctorInit } from './doctor.js';
export { VERDICTS, verdictOf, type Facts, type Side, type Trial, type Verdict } from './verdict.js';
