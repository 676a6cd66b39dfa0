import type { NetworkReport } from '../stun/index.js';

/** One side's report to the other. It contains no addresses. */
export interface Side {
  /** True if the side takes P2P connections. */
  readonly p2p: boolean;
  readonly udp: NetworkReport['udp'];
  readonly mapping: NetworkReport['mapping'];
  readonly turn: NetworkReport['turn'];
}

/** The result of a real set-up. `answered`: the other side took part. */
export type Trial =
  | { readonly result: 'live'; readonly relayed: boolean }
  | { readonly result: 'failed'; readonly answered: boolean }
  | { readonly result: 'none' };

export interface Facts {
  /** True if both domains can be reached from here. */
  readonly domain: boolean;
  readonly here: Side & { /** Its settings allow TURN servers alone. */ readonly relayOnly: boolean };
  /** `offline`: according to its domain. `silent`: it doesn't answer. `too-old`: it is there, but has no doctor. */
  readonly peer: Side | 'offline' | 'silent' | 'too-old';
  readonly trial: Trial;
}

/** All verdicts with their meaning and the next step, as in the table of docs/cli.md. The codes are stable. */
export const VERDICTS = {
  DIRECT_OK: { summary: 'a direct connection is live', next: undefined },
  DIRECT_LIKELY: { summary: 'nothing is in the way of a direct connection', next: 'set it up: protofly p2p connect ADDRESS' },
  RELAY_OK: { summary: 'connections go through a TURN server', next: undefined },
  UDP_BLOCKED: { summary: 'UDP doesn\'t pass on one side: its STUN and TURN servers don\'t answer', next: 'let UDP out in that side\'s firewall; until then messages go through the message node' },
  NAT_HARD_BOTH: { summary: 'both sides are behind NATs that give each connection another port', next: 'have a domain offer a TURN server: domain start --ice-server turn:HOST:3478 --turn-secret-file F' },
  TURN_NEEDED: { summary: 'no direct path was found, and there is no TURN server', next: 'have a domain offer one: domain start --ice-server turn:HOST:3478 --turn-secret-file F' },
  TURN_UNREACHABLE: { summary: 'a TURN server is needed, and the one there is gives no relay that works', next: 'see protofly doctor for what it answers: is it running, is its secret the domain\'s, are its relay ports open?' },
  P2P_OFF: { summary: 'one side takes no direct connections', next: 'switch P2P on there: protofly config set p2p true, and start the runtime again' },
  PEER_OFFLINE: { summary: 'the other runtime is not connected to its domain', next: 'start it there: protofly runtime start' },
  PEER_TOO_OLD: { summary: 'the other runtime can\'t tell what is on its side', next: 'update protofly there' },
  SIGNALLING_TIMEOUT: { summary: 'the other runtime is there, but didn\'t answer the set-up in time', next: 'try again; see protofly runtime logs on both sides' },
  DOMAIN_UNREACHABLE: { summary: 'a domain can\'t be reached', next: 'see protofly doctor; is the domain server running?' },
} as const satisfies Readonly<Record<string, { readonly summary: string; readonly next: string | undefined }>>;

export type Verdict = keyof typeof VERDICTS;

const isBroken = ({ turn }: Side): boolean => turn === 'no' || turn === 'refused';

/** Returns the verdict if no direct connection is possible, by the TURN servers of both sides. */
const withoutDirect = (here: Side, there: Side | undefined, tried: boolean): Verdict => {
  const sides = there === undefined ? [here] : [here, there];
  // A relay was available, and yet the set-up failed: nothing passes through it.
  if (sides.some(({ turn }) => turn === 'yes')) return tried ? 'TURN_UNREACHABLE' : 'RELAY_OK';
  if (sides.some(isBroken)) return 'TURN_UNREACHABLE';
  return here.mapping === 'dependent' && there?.mapping === 'dependent' ? 'NAT_HARD_BOTH' : 'TURN_NEEDED';
};

/** True if hole punching should work between the NATs of both sides. */
const isLikely = (here: Facts['here'], there: Side): boolean => {
  if (here.relayOnly) return false;
  const kinds = [here.mapping, there.mapping];
  return !kinds.includes('dependent') || kinds.includes('none');
};

/** Derives the verdict from all known facts. */
export const verdictOf = ({ domain, here, peer, trial }: Facts): Verdict => {
  if (trial.result === 'live') return trial.relayed ? 'RELAY_OK' : 'DIRECT_OK';
  if (!domain) return 'DOMAIN_UNREACHABLE';
  if (peer === 'offline') return 'PEER_OFFLINE';
  const there = typeof peer === 'string' ? undefined : peer;
  if (!here.p2p || there?.p2p === false) return 'P2P_OFF';
  const answered = trial.result === 'failed' && trial.answered;
  if (peer === 'silent' && !answered) return 'PEER_OFFLINE';
  if (here.udp === 'no' || there?.udp === 'no') return 'UDP_BLOCKED';
  if (trial.result === 'failed' && !answered) return 'SIGNALLING_TIMEOUT';
  if (peer === 'too-old') return 'PEER_TOO_OLD';
  if (trial.result === 'failed') return withoutDirect(here, there, true);
  return there !== undefined && isLikely(here, there) ? 'DIRECT_LIKELY' : withoutDirect(here, there, false);
};
