import { readFileSync } from 'node:fs';
import t from 'tap';
import { VERDICTS, verdictOf, type Facts, type Side, type Verdict } from '../../src/runtime/p2p/doctor/index.js';

const open: Side = { p2p: true, udp: 'yes', mapping: 'none', turn: 'none' };
const nat: Side = { ...open, mapping: 'independent' };
const hard: Side = { ...open, mapping: 'dependent' };
const blocked: Side = { ...open, udp: 'no', mapping: 'unknown' };
const unknown: Side = { ...open, udp: 'unknown', mapping: 'unknown' };
const off: Side = { ...open, p2p: false };
const turn = (side: Side, is: Side['turn'] = 'yes'): Side => ({ ...side, turn: is });

const live = { result: 'live', relayed: false } as const;
const relayed = { result: 'live', relayed: true } as const;
const failed = { result: 'failed', answered: true } as const;
const unanswered = { result: 'failed', answered: false } as const;
const untried = { result: 'none' } as const;

const facts = (here: Side, peer: Facts['peer'], trial: Facts['trial'], more: { domain?: boolean; relayOnly?: boolean } = {}): Facts =>
  ({ domain: more.domain ?? true, here: { ...here, relayOnly: more.relayOnly ?? false }, peer, trial });

const TABLE: readonly (readonly [Verdict, string, Facts])[] = [
  ['DIRECT_OK', 'a set-up came through directly', facts(open, open, live)],
  ['DIRECT_OK', 'whatever else is the matter', facts(blocked, 'too-old', live, { domain: false })],
  ['RELAY_OK', 'a set-up came through over a relay', facts(turn(hard), turn(hard), relayed)],
  ['DIRECT_LIKELY', 'not tried, no NAT on either side', facts(open, open, untried)],
  ['DIRECT_LIKELY', 'not tried, NATs that keep their ports', facts(nat, nat, untried)],
  ['DIRECT_LIKELY', 'not tried, a hard NAT and none', facts(hard, open, untried)],
  ['DIRECT_LIKELY', 'not tried, nothing known of the NATs', facts(unknown, unknown, untried)],
  ['RELAY_OK', 'not tried, hard NATs, and a relay to be had on one side', facts(hard, turn(hard), untried)],
  ['RELAY_OK', 'not tried, relays alone wanted, and one to be had', facts(turn(open), open, untried, { relayOnly: true })],
  ['UDP_BLOCKED', 'UDP doesn\'t pass here', facts(blocked, open, failed)],
  ['UDP_BLOCKED', 'UDP doesn\'t pass there', facts(open, blocked, failed)],
  ['UDP_BLOCKED', 'not tried either', facts(blocked, open, untried)],
  ['UDP_BLOCKED', 'it doesn\'t need the other side\'s word', facts(blocked, 'too-old', failed)],
  ['UDP_BLOCKED', 'TURN servers speak UDP, too', facts(turn(blocked, 'no'), open, failed)],
  ['NAT_HARD_BOTH', 'hard NATs on both sides and no TURN server', facts(hard, hard, failed)],
  ['NAT_HARD_BOTH', 'not tried', facts(hard, hard, untried)],
  ['TURN_NEEDED', 'a hard NAT against one that keeps its ports', facts(hard, nat, failed)],
  ['TURN_NEEDED', 'not tried', facts(nat, hard, untried)],
  ['TURN_NEEDED', 'it failed, and nobody knows why', facts(unknown, unknown, failed)],
  ['TURN_NEEDED', 'relays alone wanted, and there is none', facts(open, open, failed, { relayOnly: true })],
  ['TURN_UNREACHABLE', 'needed, and it doesn\'t answer', facts(turn(hard, 'no'), hard, failed)],
  ['TURN_UNREACHABLE', 'needed, and it refuses', facts(hard, turn(hard, 'refused'), failed)],
  ['TURN_UNREACHABLE', 'a relay is given, and nothing passes', facts(turn(hard), hard, failed)],
  ['P2P_OFF', 'here', facts(off, open, untried)],
  ['P2P_OFF', 'there', facts(open, off, untried)],
  ['P2P_OFF', 'nobody minds UDP then', facts(blocked, off, untried)],
  ['PEER_OFFLINE', 'its domain says so', facts(open, 'offline', unanswered)],
  ['PEER_OFFLINE', 'it answers nothing at all', facts(open, 'silent', unanswered)],
  ['PEER_OFFLINE', 'P2P that is off here doesn\'t hide it', facts(off, 'offline', untried)],
  ['PEER_TOO_OLD', 'it takes part in the set-up and has no doctor', facts(open, 'too-old', failed)],
  ['SIGNALLING_TIMEOUT', 'its doctor answers, its handler doesn\'t', facts(open, open, unanswered)],
  ['DOMAIN_UNREACHABLE', 'the domain can\'t be reached', facts(blocked, 'silent', untried, { domain: false })],
];

t.test('the verdict of what is known', (t) => {
  for (const [verdict, why, known] of TABLE) t.equal(verdictOf(known), verdict, `${verdict}: ${why}`);
  t.same(new Set(TABLE.map(([verdict]) => verdict)), new Set(Object.keys(VERDICTS)), 'there is a line for each');
  t.end();
});

t.test('docs/cli.md has every verdict', (t) => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  t.same([...page.matchAll(/^\| `([A-Z0-9]+_[A-Z_0-9]+)` \|/gm)].map(([, code]) => code).filter((code) => code?.startsWith('E_') === false).sort(), Object.keys(VERDICTS).sort());
  t.end();
});
