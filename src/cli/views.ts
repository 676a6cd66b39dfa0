import type { RegistryRecord } from '../protocol/index.js';
import type { ConnectionChange, ConnectionInfo, HypertyInfo, RuntimeStatus, StubInfo } from '../client/documents.js';
import type { Diagnosis } from './doctor/p2p.js';
import { formatDuration } from './io/duration.js';
import { cell, type Column } from './io/table.js';

/** The fields of a document as shown to a person. With --json, documents are printed unchanged. */
type Fields = Readonly<Record<string, unknown>>;

const countOf = (value: unknown): unknown => (Array.isArray(value) ? value.length : value);

export const runtimeFields = (status: RuntimeStatus): Fields => ({
  runtime: status.runtime,
  state: status.reason === undefined ? status.state : `${status.state}: ${status.reason}`,
  user: status.user,
  domain: status.domain,
  'message node': status.messageNode === undefined ? undefined : `${status.messageNode.status ?? '-'} ${status.messageNode.url ?? ''}`.trim(),
  p2p: status.p2p === undefined ? undefined : status.p2p.enabled ? status.p2p.status ?? 'on' : 'off',
  hyperties: countOf(status.hyperties),
  connections: countOf(status.connections),
  outbox: status.outbox === undefined ? undefined : `${String(status.outbox.messages)} messages, ${String(status.outbox.bytes)} bytes`,
  pid: status.pid,
  version: status.version,
  started: status.startedAt,
  network: status.network === undefined ? undefined : `${status.network.change}, at ${status.network.at}`,
  socket: status.socket,
  log: status.log,
  ...status.counters,
});

/** @param before the status printed last, when following changes */
export const runtimeLine = (status: RuntimeStatus, before?: RuntimeStatus): string => {
  const { network } = status;
  const news = before === undefined || network === undefined || network.at === before.network?.at ? '' : ` (network: ${cell(network.change)})`;
  return `${status.runtime} ${status.state}${status.reason === undefined ? '' : `: ${cell(status.reason)}`}${news}`;
};

export const hypertyColumns: readonly Column<HypertyInfo>[] = [
  { title: 'NAME', get: (row) => row.name },
  { title: 'STATUS', get: (row) => row.status },
  { title: 'PROGRAMS', get: (row) => row.attached },
  { title: 'WAITING', get: (row) => row.inbox?.messages },
  { title: 'RESOURCES', get: (row) => row.resources },
  { title: 'DATA', get: (row) => row.dataSchemes },
  { title: 'P2P', get: (row) => row.p2p },
  { title: 'ADDRESS', get: (row) => row.url },
];

/** Returns the user of a record; one who hasn't proved that it is his is shown as such. */
const shownUser = ({ user, verified }: RegistryRecord): string | undefined => (user === undefined || verified === true ? user : `${user} (unverified)`);

export const recordFields = (record: RegistryRecord): Fields => ({
  url: record.url, user: shownUser(record), name: record.name, status: record.status, runtime: record.runtime, 'p2p handler': record.p2pHandler, 'p2p requester': record.p2pRequester,
  resources: record.resources, data: record.dataSchemes, descriptor: record.descriptor, guid: record.guid, started: record.startingTime, modified: record.lastModified, expires: `${String(record.expires)} s`,
});

export const recordColumns: readonly Column<RegistryRecord>[] = [
  { title: 'USER', get: shownUser },
  { title: 'NAME', get: (row) => row.name },
  { title: 'STATUS', get: (row) => row.status },
  { title: 'RESOURCES', get: (row) => row.resources },
  { title: 'DATA', get: (row) => row.dataSchemes },
  { title: 'ADDRESS', get: (row) => row.url },
];

export const stubColumns: readonly Column<StubInfo>[] = [
  { title: 'KIND', get: (row) => row.kind },
  { title: 'STATUS', get: (row) => row.status },
  { title: 'ORIGIN', get: (row) => row.origin?.replace('hyperty-catalogue://catalogue.', '').replace('/.well-known/', ' ') },
  { title: 'VERSION', get: (row) => row.version },
  { title: 'FROM', get: (row) => row.from },
  { title: 'HASH', get: (row) => row.hash?.slice('sha256-'.length, 'sha256-'.length + 10) },
  { title: 'KEY', get: (row) => row.keyId?.slice(0, 10) },
  { title: 'PID', get: (row) => row.pid },
  { title: 'SENT', get: (row) => row.sent },
  { title: 'RECEIVED', get: (row) => row.received },
  { title: 'NOTE', get: (row) => row.description },
];

/** Returns the state in a word. A live connection that nothing arrives on is marked as suspect. */
const stateOf = ({ status, health }: ConnectionInfo): string => (health === 'suspect' ? `${status}, suspect` : status);

export const connectionColumns: readonly Column<ConnectionInfo>[] = [
  { title: 'STATUS', get: stateOf },
  { title: 'ROLE', get: (row) => row.role },
  { title: 'RUNTIME', get: (row) => row.remoteRuntime },
  { title: 'ROUND TRIP', get: (row) => (row.rttMs === undefined ? undefined : formatDuration(row.rttMs)) },
  { title: 'SENT', get: (row) => row.sent },
  { title: 'RECEIVED', get: (row) => row.received },
  { title: 'SINCE', get: (row) => row.since },
  { title: 'STUB', get: (row) => row.stub },
  { title: 'NOTE', get: (row) => row.reason },
];

const pairOf = ({ pair }: ConnectionInfo): string | undefined => (pair === undefined ? undefined : `${cell(pair.local)} <-> ${cell(pair.remote)}`);

export const connectionFields = (connection: ConnectionInfo): Fields => ({
  runtime: connection.remoteRuntime,
  status: connection.reason === undefined ? connection.status : `${connection.status}: ${connection.reason}`,
  role: connection.role,
  stub: connection.stub,
  address: connection.address,
  'round trip': connection.rttMs === undefined ? undefined : formatDuration(connection.rttMs),
  pair: pairOf(connection),
  'set up in': connection.setupMs === undefined ? undefined : formatDuration(connection.setupMs),
  generation: connection.generation,
  since: connection.since,
  sent: connection.sent,
  received: connection.received,
});

export const changeLine = ({ connection, was, now, reason }: ConnectionChange): string =>
  `${connection.remoteRuntime} ${was === undefined || was === now ? '' : `${was} -> `}${now}${reason === undefined ? '' : `: ${cell(reason)}`}`;

const sideText = (side: Readonly<Record<string, unknown>> | undefined): string | undefined =>
  side === undefined ? undefined : `P2P ${side['p2p'] === true ? 'on' : 'off'}, UDP ${cell(side['udp'])}, NAT ${cell(side['mapping'])}, TURN ${cell(side['turn'])}`;

export const diagnosisFields = ({ verdict, summary, next, remoteRuntime, here, peer, pair, setupMs, reason }: Diagnosis): Fields => ({
  verdict: `${verdict}: ${summary}`,
  next,
  here: sideText(here),
  there: sideText(peer),
  runtime: remoteRuntime,
  pair: pair === undefined ? undefined : `${cell(pair.local)} <-> ${cell(pair.remote)}`,
  'set up in': setupMs === undefined ? undefined : formatDuration(setupMs),
  tried: reason,
});
