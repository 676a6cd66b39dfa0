import fc from 'fast-check';
import t from 'tap';
import {
  allocationAddress, catalogueAddress, child, domainOf, formatAddress, isAddress, isIceCandidate, isRecordStatus, isStubStatus, isWithin, nextConnectionStatus,
  nextStubStatus, parentOf, parseAddress, parseConnection, parseIceCandidate, parseRecord, partsOf, ProtoflyError, registryAddress, runtimeOf, SESSION, subscriptionAddress,
  type Address, type ConnectionStatus, type StubStatus,
} from '../../src/protocol/index.js';
import { parseDescriptor, parseDomainInfo, parseSourcePackage } from '../../src/protocol/descriptor.js';
import { BAD_ADDRESSES, GOOD_ADDRESSES } from '../support/vectors.js';

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (thrown) {
    return thrown instanceof ProtoflyError ? thrown.code : `not a ProtoflyError: ${String(thrown)}`;
  }
  return 'nothing was thrown';
};

/** Formats a value so that it can be printed in a title. */
const shownAs = (value: unknown): string =>
  (JSON.stringify(value) ?? typeof value).replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).slice(0, 120);

const address = (text: string): Address => parseAddress(text);

t.test('ADR-1, ADR-2: what is an address, and its canonical form', async (t) => {
  for (const [text, canonical, parts] of GOOD_ADDRESSES) {
    const shown = shownAs(text);
    t.equal(isAddress(text), true, shown);
    t.equal(parseAddress(text), canonical, shown);
    t.equal(parseAddress(canonical), canonical, `${shown}: canonical form is stable`);
    t.equal(formatAddress(partsOf(parseAddress(text))), canonical, `${shown}: put together from its parts`);
    if (parts !== undefined) t.strictSame(partsOf(parseAddress(text)), { scheme: parts[0], domain: parts[1], path: parts[2] }, `${shown}: parts`);
  }
});

t.test('ADR-1: what is none', async (t) => {
  for (const [index, text] of BAD_ADDRESSES.entries()) {
    const shown = `number ${String(index + 1)}: ${shownAs(text)}`;
    t.equal(isAddress(text), false, shown);
    t.equal(codeOf(() => parseAddress(text)), 'E_ADDRESS', shown);
  }
  t.equal(codeOf(() => formatAddress({ scheme: '', domain: 'a', path: '' })), 'E_ADDRESS');
  t.equal(codeOf(() => formatAddress({ scheme: 'hyperty', domain: '', path: 'a' })), 'E_ADDRESS');
  t.equal(codeOf(() => formatAddress({ scheme: 'hyperty', domain: 'a', path: '/b' })), 'E_ADDRESS');
});

t.test('any text is an address or isn\'t, and an address survives being taken apart', async (t) => {
  const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${String(seed)} (again with FC_SEED=${String(seed)})`);
  const word = fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom(...'aZ09.-_'), minLength: 1, maxLength: 8 }) },
    { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...'aZ09.-_:/@ é🔑\n\ud800'), maxLength: 8 }) },
  );
  const likely = fc.tuple(fc.constantFrom('hyperty', 'runtime', 'USER-GUID', 'mn', 'a+b', 'constructor'), fc.constantFrom('://', '://', '://', ':/', ':'), word, fc.array(word, { maxLength: 4 }))
    .map(([scheme, colon, domain, path]) => [`${scheme}${colon}${domain}`, ...path].join('/'));
  let understood = 0;
  fc.assert(fc.property(fc.oneof({ weight: 4, arbitrary: likely }, { weight: 1, arbitrary: fc.string({ unit: 'binary' }) }, { weight: 1, arbitrary: fc.anything() }), (text) => {
    let parsed: Address;
    try {
      parsed = parseAddress(text);
    } catch (thrown) {
      return thrown instanceof ProtoflyError && thrown.code === 'E_ADDRESS' && !isAddress(text);
    }
    understood += 1;
    const parent = parentOf(parsed);
    return isAddress(text) && parseAddress(parsed) === parsed && formatAddress(partsOf(parsed)) === parsed && isWithin(parsed, parsed) &&
      (parent === undefined || (parseAddress(parent) === parent && isWithin(parsed, parent) && !isWithin(parent, parsed) && partsOf(parent).domain === partsOf(parsed).domain));
  }), { seed, numRuns: 5000 });
  t.ok(understood > 100, `the property was not empty: ${String(understood)} texts were addresses`);
});

t.test('ADR-4: what lies below what', async (t) => {
  const runtime = address('hyperty-runtime://a.example/r1');
  t.equal(child(runtime, 'sm'), 'hyperty-runtime://a.example/r1/sm');
  const rows: [below: string, above: string, expected: boolean][] = [
    ['hyperty-runtime://a.example/r1', 'hyperty-runtime://a.example/r1', true], ['hyperty-runtime://a.example/r1/sm', 'hyperty-runtime://a.example/r1', true],
    ['hyperty-runtime://a.example/r12', 'hyperty-runtime://a.example/r1', false], ['hyperty-runtime://a.example/r1', 'hyperty-runtime://a.example/r1/sm', false],
    ['hyperty-runtime://a.example/r1', 'hyperty-runtime://a.example', true], ['hyperty://a.example/r1', 'hyperty-runtime://a.example/r1', false],
    ['hyperty://a.example.com/1', 'hyperty://a.example', false], ['hyperty://a.example/R1', 'hyperty://a.example/r1', false],
  ];
  for (const [below, above, expected] of rows) t.equal(isWithin(address(below), address(above)), expected, `${below} in ${above}`);
});

t.test('ADR-4: parents, runtimes and domains', async (t) => {
  const rows: [text: string, parent: string | undefined, runtime: string | undefined, domain: string][] = [
    ['hyperty://a.example/x', undefined, undefined, 'a.example'],
    ['hyperty://a.example', undefined, undefined, 'a.example'],
    ['hyperty://a.example/x/y', 'hyperty://a.example/x', undefined, 'a.example'],
    ['hyperty-runtime://a.example/r1/sm', 'hyperty-runtime://a.example/r1', 'hyperty-runtime://a.example/r1', 'a.example'],
    ['hyperty-runtime://a.example/r1/p2phandler/1/status', 'hyperty-runtime://a.example/r1/p2phandler/1', 'hyperty-runtime://a.example/r1', 'a.example'],
    ['runtime://a.example/r1', undefined, 'hyperty-runtime://a.example/r1', 'a.example'],
    ['hyperty-runtime://a.example', undefined, undefined, 'a.example'],
    ['domain://msg-node.a.example/sm', undefined, undefined, 'a.example'],
    ['domain://registry.a.example', undefined, undefined, 'a.example'],
    ['domain://a.example', undefined, undefined, 'a.example'],
    ['domain://registry.registry.a.example', undefined, undefined, 'registry.a.example'],
    ['hyperty-catalogue://catalogue.a.example/.well-known/runtime/default', 'hyperty-catalogue://catalogue.a.example/.well-known/runtime', undefined, 'a.example'],
    ['hyperty://registry.a.example/x', undefined, undefined, 'registry.a.example'],
    ['connection://a.example/c/changes', 'connection://a.example/c', undefined, 'a.example'],
    ['user-guid://AbC', undefined, undefined, 'AbC'],
    ['mn:/session', undefined, undefined, ''],
  ];
  for (const [text, parent, runtime, domain] of rows) t.strictSame([parentOf(address(text)), runtimeOf(address(text)), domainOf(address(text))], [parent, runtime, domain], text);
  for (const made of [SESSION, allocationAddress('a.example'), subscriptionAddress('a.example'), registryAddress('a.example'), catalogueAddress('a.example', 'runtime', 'default')]) {
    t.equal(parseAddress(made), made, made);
  }
});

t.test('the cost of refusing an address is linear in its length', async (t) => {
  const shapes: ((length: number) => string)[] = [
    (n) => `hyperty://a${'.'.repeat(n)}`, (n) => `hyperty://${'a-'.repeat(n / 2)}!`, (n) => `hyperty://a${'/b'.repeat(n / 2)}//`, (n) => `hyperty://a/${'b'.repeat(n)} `,
    (n) => `${'a+'.repeat(n / 2)}`, (n) => `hyperty://a/${'é'.repeat(n)}\n`, (n) => `${':'.repeat(n)}`, (n) => `hyperty://${'a.'.repeat(n / 2)}`, (n) => `hyperty://a${'/é'.repeat(n / 2)} `,
  ];
  const cost = (text: string, rounds: number): bigint => {
    let best: bigint | undefined;
    for (let attempt = 0; attempt < 7; attempt += 1) {
      const start = process.hrtime.bigint();
      for (let round = 0; round < rounds; round += 1) isAddress(text);
      const took = process.hrtime.bigint() - start;
      if (best === undefined || took < best) best = took;
    }
    return best ?? 0n;
  };
  for (const shape of shapes) {
    const [short, long] = [shape(120), shape(1920)];
    t.equal(isAddress(long), false, 'is refused for its shape, not for its length');
    t.ok(long.length < 2048);
    cost(long, 20);
    // 16 times the length; a quadratic cost would be 256 times as much.
    const ratio = Number(cost(long, 100)) / Number(cost(short, 100));
    t.ok(ratio < 80, `${shownAs(short.slice(0, 20))}: 16 times the length costs ${ratio.toFixed(1)} times as much`);
  }
});

const record = { url: 'hyperty://a.example/1', runtime: 'hyperty-runtime://a.example/r1' };

t.test('REG-1: a registry record', async (t) => {
  t.strictSame(parseRecord(record), { ...record, dataSchemes: [], resources: [], status: 'live', expires: 3600 }, 'what is missing');
  const full = {
    ...record, descriptor: 'hyperty-catalogue://catalogue.a.example/.well-known/hyperty/chat', user: 'user://a.example/bob', guid: 'user-guid://AbC', name: 'chat',
    p2pHandler: 'hyperty-runtime://a.example/r1/p2phandler/1', p2pRequester: 'hyperty-catalogue://catalogue.a.example/.well-known/protocolstub/P2PRequester',
    dataSchemes: ['comm'], resources: ['chat'], status: 'disconnected', expires: 60, startingTime: '2024-01-01T00:00:00.000Z', lastModified: '2024-01-01T00:00:00.000Z', signature: { any: ['thing'] }, none: null,
  };
  t.strictSame(parseRecord(full), full, 'everything comes back');
  t.strictSame(parseRecord(parseRecord(full)), full, 'and stays');
  t.strictSame(parseRecord({ ...record, url: 'HYPERTY://A.example/1/', runtime: 'runtime://A.example/r1', user: 'USER://a.example/bob' }),
    { ...record, user: 'user://a.example/bob', dataSchemes: [], resources: [], status: 'live', expires: 3600 }, 'addresses become canonical');
  t.strictSame(Object.keys(parseRecord({ ...record, user: null, name: null, expires: null, status: null, dataSchemes: null })).sort(), ['dataSchemes', 'expires', 'resources', 'runtime', 'status', 'url'], 'null is absent');
});

t.test('REG-1: what is no record', async (t) => {
  const rows: unknown[] = [
    undefined, null, 'x', 7, [], {}, { url: record.url }, { runtime: record.runtime }, ...Object.entries({
      url: ['', 'bob', null, 7, {}], runtime: ['', 'bob', null], user: ['bob', 7, {}], guid: ['bob'], p2pHandler: [true], p2pRequester: ['none'], name: [7, {}, 'x'.repeat(2049)], descriptor: [7, {}],
      status: ['LIVE', 'alive', 7, {}], expires: [0, -1, '60', Number.NaN, Number.POSITIVE_INFINITY, 1e10, {}], dataSchemes: ['comm', {}, [7], Array.from({ length: 101 }, () => 'x'), ['x'.repeat(257)]], resources: [{ length: 0 }],
      startingTime: [7], lastModified: [new Date(0)],
    }).flatMap(([field, values]) => values.map((value) => ({ ...record, [field]: value }))),
  ];
  for (const value of rows) t.equal(codeOf(() => parseRecord(value)), 'E_MESSAGE', shownAs(value));
  const parsed = parseRecord(JSON.parse('{"url":"hyperty://a.example/1","runtime":"hyperty-runtime://a.example/r1","__proto__":{"name":"x"}}'));
  t.equal(parsed.name, undefined, 'a record has no fields from a prototype');
});

const connection = { name: 'c', runtime: 'hyperty-runtime://a.example/r1', status: 'created', connectionDescription: { type: 'offer', sdp: 'v=0' }, iceCandidates: [{ candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0 }], generation: 3, framings: ['protofly/1', 'rethink/1'] };

t.test('P2P-2: a Connection object', async (t) => {
  t.strictSame(parseConnection(connection), connection);
  t.strictSame(parseConnection({ ...connection, url: 'connection://a/1', version: 1, signature: 'x' }), connection, 'what the sync manager keeps around it is not the stub\'s');
  t.strictSame(parseConnection({ connectionDescription: { type: 'answer', sdp: '', more: 1 } }), { name: '', runtime: '', status: '', connectionDescription: { type: 'answer', sdp: '' }, iceCandidates: [] });
  t.strictSame(parseConnection({ ...connection, iceCandidates: [{ candidate: 'c' }, { candidate: 'd', sdpMid: null, sdpMLineIndex: null, usernameFragment: 'u' }] }).iceCandidates,
    [{ candidate: 'c', sdpMid: '0' }, { candidate: 'd', sdpMid: '0' }], 'a candidate without a media id is the data channel\'s');
  const description = (fields: Record<string, unknown>): unknown => ({ ...connection, connectionDescription: { ...connection.connectionDescription, ...fields } });
  const candidate = (value: unknown): unknown => ({ ...connection, iceCandidates: [value] });
  const rows: unknown[] = [
    undefined, null, 'x', [], {}, { ...connection, connectionDescription: undefined }, description({ type: 'OFFER' }), description({ type: 'pranswer' }), description({ sdp: undefined }), description({ sdp: 7 }), description({ sdp: 'x'.repeat(65537) }),
    { ...connection, iceCandidates: {} }, { ...connection, iceCandidates: 'x' }, { ...connection, iceCandidates: Array.from({ length: 201 }, () => ({ candidate: 'c', sdpMid: '0' })) }, { ...connection, iceCandidates: new Array(2) },
    candidate(null), candidate('c'), candidate({}), candidate({ candidate: 7 }), candidate({ candidate: 'x'.repeat(1025), sdpMid: '0' }), candidate({ candidate: 'c', sdpMid: 0 }), candidate({ candidate: 'c', sdpMid: 'x'.repeat(65) }), candidate({ candidate: 'c', sdpMLineIndex: '0' }), candidate({ candidate: 'c', sdpMLineIndex: Number.NaN }),
    { ...connection, generation: 1.5 }, { ...connection, generation: -1 }, { ...connection, generation: '1' }, { ...connection, generation: 2 ** 53 }, { ...connection, framings: 'protofly/1' }, { ...connection, framings: [1] },
  ];
  for (const value of rows) t.equal(codeOf(() => parseConnection(value)), 'E_MESSAGE', shownAs(value));
  t.strictSame([{ candidate: 'c', sdpMid: '0' }, { candidate: 'c' }, null, []].map(isIceCandidate), [true, false, false, false]);
  t.equal(codeOf(() => parseIceCandidate(null)), 'E_MESSAGE');
});

const descriptor = { cguid: 'g', type: 'protocolstub', version: '1', objectName: 'default' };

t.test('CAT-2: descriptors, source packages and what a domain says of itself', async (t) => {
  t.strictSame(parseDescriptor(descriptor), { ...descriptor, description: '', language: 'javascript', sourcePackageURL: '', signature: '', configuration: {}, constraints: {} });
  t.match(parseDescriptor({ ...descriptor, constraints: { webrtc: true }, extra: 1, sourcePackage: { sourceCodeClassname: 'C', sourceCode: 'x' } }),
    { constraints: { webrtc: true }, extra: 1, sourcePackage: { encoding: 'utf-8', signature: '' } });
  const bad: unknown[] = [
    undefined, null, [], 'x', {}, { ...descriptor, type: 'stub' }, { ...descriptor, objectName: '../etc' }, { ...descriptor, objectName: '' }, { ...descriptor, objectName: '.hidden' }, { ...descriptor, objectName: 'a/b' }, { ...descriptor, objectName: 'x'.repeat(129) },
    { ...descriptor, version: 1 }, { ...descriptor, constraints: ['webrtc'] }, { ...descriptor, configuration: [] }, { ...descriptor, sourcePackage: {} }, { ...descriptor, sourcePackage: { sourceCodeClassname: 'C', sourceCode: 'x', encoding: 'rot13' } },
  ];
  for (const value of bad) t.equal(codeOf(() => parseDescriptor(value)), 'E_DESCRIPTOR', shownAs(value));
  t.equal(codeOf(() => parseSourcePackage({ sourceCode: 7 })), 'E_DESCRIPTOR');
  t.equal(codeOf(() => parseDomainInfo({ domain: 'a' })), 'E_DESCRIPTOR');
  const KEY = { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43), kid: 'k' };
  t.match(parseDomainInfo({ domain: 'a.example', messageNode: { websocket: 'ws://a' }, publisherKey: KEY }), { domain: 'a.example', messageNode: { websocket: 'ws://a' } });
  const sly = parseDescriptor(JSON.parse(`{"cguid":"g","type":"runtime","version":"1","objectName":"x","__proto__":{"interworking":true},"configuration":{"__proto__":{"admin":1}}}`));
  t.strictSame([sly.interworking, sly.configuration['admin']], [undefined, undefined], 'nothing comes from a prototype');
});

t.test('P2P-5: every pair of states of a P2P connection', async (t) => {
  const states: ConnectionStatus[] = ['created', 'in-progress', 'live', 'failed', 'disconnected', 'ended'];
  //                     created  in-progress  live  failed  disconnected  ended
  const table: Record<ConnectionStatus, string> = {
    created:       '        -         yes        -     yes        -          -',
    'in-progress': '        -          -        yes    yes        -          -',
    live:          '        -          -         -      -        yes         -',
    failed:        '        -          -         -      -         -         yes',
    disconnected:  '        -          -        yes     -         -         yes',
    ended:         '        -          -         -      -         -          -',
  };
  for (const now of states) {
    t.strictSame(states.map((event) => nextConnectionStatus(now, event)), table[now].trim().split(/\s+/).map((cell, index) => (cell === 'yes' ? states[index] : undefined)), now);
  }
});

t.test('STB-4: every pair of states of a stub', async (t) => {
  const states: StubStatus[] = ['created', 'in-progress', 'live', 'failed', 'disconnected'];
  //                     created  in-progress  live  failed  disconnected
  const table: Record<StubStatus, string> = {
    created:       '        -         yes       yes    yes       yes',
    'in-progress': '        -          -        yes    yes       yes',
    live:          '        -         yes        -     yes       yes',
    failed:        '       yes        yes       yes     -        yes',
    disconnected:  '       yes        yes       yes    yes        -',
  };
  for (const now of states) {
    t.strictSame(states.map((event) => nextStubStatus(now, event)), table[now].trim().split(/\s+/).map((cell, index) => (cell === 'yes' ? states[index] : undefined)), now);
  }
  t.strictSame(['live', 'ended', 'LIVE', undefined, {}, 'constructor', '__proto__'].map(isStubStatus), [true, false, false, false, false, false, false]);
  t.strictSame(['created', 'live', 'disconnected', 'dead', 'failed', undefined].map(isRecordStatus), [true, true, true, true, false, false]);
});
