import type { Check } from './check.js';

/** The results of asking STUN and TURN servers (docs/control.md). */
export interface NetworkFacts {
  readonly udp: 'yes' | 'no' | 'unknown';
  readonly mapping: 'none' | 'independent' | 'dependent' | 'unknown';
  readonly turn: 'yes' | 'no' | 'refused' | 'none';
  readonly servers: readonly { readonly server: string; readonly ok: boolean; readonly address?: string; readonly rttMs?: number; readonly reason?: string }[];
  /** True if no TURN server was asked, because no credentials are available. */
  readonly withoutTurn?: boolean;
}

const OFFER_TURN = 'have the domain offer a TURN server: domain start --ice-server turn:HOST:3478 --turn-secret-file F';

const said = ({ servers }: NetworkFacts, kind: 'stun' | 'turn'): string =>
  servers.filter(({ server }) => server.startsWith(kind)).map(({ server, ok, address, rttMs, reason }) => (ok ? `${server} ${kind === 'stun' ? 'sees' : 'gives'} ${address ?? '?'} (${String(rttMs)} ms)` : `${server}: ${reason ?? 'failed'}`)).join('; ');

const udpCheck = (facts: NetworkFacts, p2p: boolean): Check => {
  if (facts.udp === 'yes') return { check: 'udp', verdict: 'ok', detail: said(facts, 'stun') || said(facts, 'turn') };
  if (facts.udp === 'unknown') return { check: 'udp', verdict: 'skip', detail: facts.servers.length === 0 ? 'no STUN server is known to ask' : said(facts, 'stun'), next: 'domain start --ice-server stun:HOST:3478, or config set iceServers' };
  return { check: 'udp', verdict: p2p ? 'fail' : 'warn', detail: said(facts, 'stun'), next: 'let UDP out in the firewall; messages go through message nodes meanwhile' };
};

const natCheck = ({ mapping, servers }: NetworkFacts): Check => {
  switch (mapping) {
    case 'none': return { check: 'nat', verdict: 'ok', detail: 'none: servers see this machine\'s own address' };
    case 'independent': return { check: 'nat', verdict: 'ok', detail: 'one that keeps ports: direct connections through it work with most others' };
    case 'dependent': return { check: 'nat', verdict: 'warn', detail: 'one that gives each connection another port (symmetric)', next: OFFER_TURN };
    case 'unknown': return { check: 'nat', verdict: 'skip', detail: servers.some(({ ok }) => ok) ? 'there is one; two STUN servers would tell its kind' : servers.length === 0 ? 'no STUN server is known to ask' : 'no STUN server answered', next: 'name two STUN servers, or one with two ports' };
  }
};

const turnCheck = (facts: NetworkFacts): Check => {
  if (facts.withoutTurn === true) return { check: 'turn', verdict: 'skip', detail: 'can be asked while the runtime is running' };
  switch (facts.turn) {
    case 'yes': return { check: 'turn', verdict: 'ok', detail: said(facts, 'turn') };
    case 'none': return { check: 'turn', verdict: facts.mapping === 'dependent' ? 'warn' : 'skip', detail: 'there is none', next: OFFER_TURN };
    case 'refused': return { check: 'turn', verdict: 'fail', detail: said(facts, 'turn'), next: 'is the secret of the domain server that of the TURN server, and are their clocks right?' };
    case 'no': return { check: 'turn', verdict: 'fail', detail: said(facts, 'turn'), next: 'is it running, and its UDP port open?' };
  }
};

export const networkChecks = (facts: NetworkFacts, p2p: boolean): Check[] => [udpCheck(facts, p2p), natCheck(facts), turnCheck(facts)];
