import { ProtoflyError } from '../../../protocol/index.js';

const MAX_LINES = 200;
const MAX_LINE = 1024;
/** Maximum number of candidates tried per remote. Each one costs connectivity checks. */
export const MAX_REMOTE_CANDIDATES = 40;

const bad = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `bad session description: ${why}`);

const NUMERIC = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/;

/**
 * Converts a candidate line to the library's form. Returns undefined for an unusable one: not UDP, or with a
 * host name, which would cause a name lookup chosen by the peer.
 * @param relayOnly accepts only relays: the library checks every candidate it gets from its own address
 */
export const usableCandidate = (line: string, relayOnly = false): string | undefined => {
  const text = line.trim().replace(/^a=/, '');
  if (text.length > MAX_LINE || !text.startsWith('candidate:')) return undefined;
  const [, component, transport, , address = '', port, typ, type] = text.split(/ +/);
  if (component !== '1' || transport?.toUpperCase() !== 'UDP' || typ !== 'typ' || (relayOnly && type !== 'relay')) return undefined;
  const number = Number(port);
  if (!NUMERIC.test(address) || !Number.isInteger(number) || number < 1 || number > 65_535) return undefined;
  return text;
};

/** Returns the candidates of a description, without their `a=`. */
export const candidatesOf = (sdp: string): string[] =>
  sdp.split(/\r?\n/).filter((line) => line.startsWith('a=candidate:')).map((line) => line.slice(2));

export const midOf = (sdp: string): string => /^a=mid:(\S+)/m.exec(sdp)?.[1] ?? '0';

/**
 * Reduces a remote description to the parts we use: one data channel section and usable candidates. Drops
 * `end-of-candidates`: the library's ICE thread can see it before the candidates beside it, and then gives up
 * at once.
 * @throws ProtoflyError `E_MESSAGE`
 */
export const cleanDescription = (sdp: string, relayOnly = false): string => {
  const lines = sdp.split(/\r?\n/).filter((line) => line !== '');
  if (lines.length > MAX_LINES || lines.some((line) => line.length > MAX_LINE)) throw bad('too long');
  const sections = lines.filter((line) => line.startsWith('m='));
  if (sections.length !== 1 || !/^m=application \d+ \S*DTLS\/SCTP /.test(sections[0]!)) throw bad('not exactly one data channel section');
  let candidates = 0;
  const kept = lines.filter((line) => {
    if (line === 'a=end-of-candidates') return false;
    if (!line.startsWith('a=candidate:')) return true;
    if (usableCandidate(line, relayOnly) === undefined || candidates >= MAX_REMOTE_CANDIDATES) return false;
    candidates += 1;
    return true;
  });
  return `${kept.join('\r\n')}\r\n`;
};

export const withoutCandidates = (sdp: string): string => sdp.split('\r\n').filter((line) => !line.startsWith('a=candidate:')).join('\r\n');

/** Makes the offerer the DTLS client. */
export const eager = (offer: string): string => offer.replace(/^a=setup:actpass/m, 'a=setup:active');

export const isEager = (offer: string): boolean => /^a=setup:active/m.test(offer);
