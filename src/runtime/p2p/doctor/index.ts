/**
 * Says why two runtimes do or don't reach each other directly: looks at this side, asks the other side's doctor, tries
 * a set-up, and makes one verdict of it (`verdict.ts`, a pure function). It changes nothing, apart from the connection
 * that it tries.
 */
export { Doctor, type Diagnosis, type DoctorComponents, type DoctorInit } from './doctor.js';
export { VERDICTS, verdictOf, type Facts, type Side, type Trial, type Verdict } from './verdict.js';
