/**
 * The origin of a request for a route or a foreign domain's stub. `program`: a program of this runtime, or its user. `remote`: anything else,
 * such as a message that came in, a record, or a stub. Only a program's wish lets a runtime turn to a new domain
 * (docs/protocol.md, STB-9).
 */
export type Cause = 'program' | 'remote';
