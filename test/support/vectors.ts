/**
 * The wire format as a table: the meaning of each frame, and its encoding when it is sent on. Rule ids are
 * those of docs/protocol.md. Other implementations can run the same table.
 */

/** A valid frame. */
export interface GoodVector {
  readonly rule: string;
  readonly title: string;
  /** The text of the incoming frame. */
  readonly text: string;
  /** The frame's meaning, in canonical form. */
  readonly means: Readonly<Record<string, unknown>>;
  /** The text of the outgoing frame; absent if it equals `text`. */
  readonly encoded?: string;
}

/** A frame that is refused. */
export interface BadVector {
  readonly rule: string;
  readonly title: string;
  readonly text: string;
  readonly code: 'E_MESSAGE' | 'E_ADDRESS';
  /** Fields of the 400: the id it answers, its sender and its receiver; absent if nobody can be answered. */
  readonly answered?: { readonly id: unknown; readonly from: string; readonly to: string };
}

const A = 'hyperty://a.example/1';
const B = 'hyperty://b.example/2';
const frame = (fields: Record<string, unknown>): string => JSON.stringify({ id: 7, type: 'create', from: A, to: B, ...fields });
const nested = (depth: number): string => `{"id":7,"type":"create","from":"${A}","to":"${B}","body":{"value":${'['.repeat(depth)}${']'.repeat(depth)}}}`;
const recipients = (count: number): string[] => Array.from({ length: count }, (_, index) => `hyperty://b.example/${String(index)}`);
const answered = { id: 7, from: A, to: B };

export const GOOD_MESSAGES: readonly GoodVector[] = [
  { rule: 'MSG-1', title: 'the plain one', text: frame({ body: { value: 'hello' } }), means: { id: 7, type: 'create', from: A, to: B, body: { value: 'hello' } } },
  { rule: 'MSG-1', title: 'no body', text: frame({ type: 'ping' }), means: { id: 7, type: 'ping', from: A, to: B } },
  { rule: 'MSG-1', title: 'a null body is none', text: frame({ body: null }), means: { id: 7, type: 'create', from: A, to: B }, encoded: frame({}) },
  { rule: 'MSG-1', title: 'unknown header fields are left out', text: frame({ body: {}, extra: [1], __defineGetter__: 1 }), means: { id: 7, type: 'create', from: A, to: B, body: {} }, encoded: frame({ body: {} }) },
  { rule: 'MSG-1', title: 'unknown body fields are kept', text: frame({ body: { anything: { a: [null, true, 1.5] } } }), means: { id: 7, type: 'create', from: A, to: B, body: { anything: { a: [null, true, 1.5] } } } },
  { rule: 'MSG-1', title: 'fields in another order', text: `{"to":"${B}","from":"${A}","type":"create","id":7}`, means: { id: 7, type: 'create', from: A, to: B }, encoded: frame({}) },
  { rule: 'MSG-1', title: 'the first and second meaning of a repeated field: the last one counts', text: `{"id":1,"id":7,"type":"create","from":"${A}","to":"${B}"}`, means: { id: 7, type: 'create', from: A, to: B }, encoded: frame({}) },
  { rule: 'MSG-2', title: 'a string as id', text: frame({ id: 'x9' }), means: { id: 'x9', type: 'create', from: A, to: B } },
  { rule: 'MSG-2', title: 'a string of digits stays a string', text: frame({ id: '7' }), means: { id: '7', type: 'create', from: A, to: B } },
  { rule: 'MSG-2', title: 'the longest id', text: frame({ id: 'x'.repeat(256) }), means: { id: 'x'.repeat(256), type: 'create', from: A, to: B } },
  { rule: 'MSG-2', title: 'a fraction, a negative number, zero', text: frame({ id: -0.5 }), means: { id: -0.5, type: 'create', from: A, to: B } },
  { rule: 'MSG-2', title: 'a unicode id', text: frame({ id: 'ключ-🔑' }), means: { id: 'ключ-🔑', type: 'create', from: A, to: B } },
  { rule: 'MSG-3', title: 'an upper-case type', text: frame({ type: 'CREATE' }), means: { id: 7, type: 'create', from: A, to: B }, encoded: frame({}) },
  { rule: 'MSG-3', title: 'a mixed-case type', text: frame({ type: 'Re-Open', to: 'mn:/session' }), means: { id: 7, type: 're-open', from: A, to: 'mn:/session' }, encoded: frame({ type: 're-open', to: 'mn:/session' }) },
  ...['read', 'update', 'delete', 'subscribe', 'unsubscribe', 'execute', 'forward', 'ping', 'open', 'close'].map((type) => (
    { rule: 'MSG-3', title: `the type ${type}`, text: frame({ type }), means: { id: 7, type, from: A, to: B } })),
  { rule: 'MSG-4', title: 'a list of one', text: frame({ to: [B] }), means: { id: 7, type: 'create', from: A, to: [B] } },
  { rule: 'MSG-4', title: 'as many recipients as there may be', text: frame({ to: recipients(1000) }), means: { id: 7, type: 'create', from: A, to: recipients(1000) } },
  { rule: 'MSG-4', title: 'a recipient named twice gets it once', text: frame({ to: [B, 'HYPERTY://B.EXAMPLE/2', A] }), means: { id: 7, type: 'create', from: A, to: [B, A] }, encoded: frame({ to: [B, A] }) },
  { rule: 'MSG-5', title: 'a response', text: frame({ type: 'response', from: B, to: A, body: { code: 200 } }), means: { id: 7, type: 'response', from: B, to: A, body: { code: 200 } } },
  { rule: 'MSG-5', title: 'a provisional response', text: frame({ type: 'RESPONSE', body: { code: 183 } }), means: { id: 7, type: 'response', from: A, to: B, body: { code: 183 } }, encoded: frame({ type: 'response', body: { code: 183 } }) },
  { rule: 'MSG-5', title: 'the words under their other name', text: frame({ type: 'response', body: { code: 404, desc: 'nobody' } }), means: { id: 7, type: 'response', from: A, to: B, body: { code: 404, desc: 'nobody' } } },
  { rule: 'FLW-1', title: 'a message with its number', text: frame({ body: { value: 'hello', expect: 'receipt', flow: ['k7Qx.1', 12, 9] } }), means: { id: 7, type: 'create', from: A, to: B, body: { value: 'hello', expect: 'receipt', flow: ['k7Qx.1', 12, 9] } } },
  { rule: 'FLW-7', title: 'a receipt for many', text: frame({ type: 'response', from: B, to: A, body: { code: 200, path: 'p2p', generation: 2, flow: ['k7Qx.1', 9, 12] } }), means: { id: 7, type: 'response', from: B, to: A, body: { code: 200, path: 'p2p', generation: 2, flow: ['k7Qx.1', 9, 12] } } },
  { rule: 'FLW-8', title: 'a batch', text: frame({ id: 'k7Qx.1/12-13', body: { value: [[7, { value: 'hello' }], ['x9', { value: 2 }]], expect: 'receipt', flow: ['k7Qx.1', 12, 9, 2] } }), means: { id: 'k7Qx.1/12-13', type: 'create', from: A, to: B, body: { value: [[7, { value: 'hello' }], ['x9', { value: 2 }]], expect: 'receipt', flow: ['k7Qx.1', 12, 9, 2] } } },
  { rule: 'FLW-9', title: 'a message that takes a receipt along', text: frame({ body: { value: 'hello', expect: 'receipt', flow: ['k7Qx.1', 12, 12], ack: { path: 'p2p', generation: 2, flow: ['Zt0a.4', 9, 12] } } }), means: { id: 7, type: 'create', from: A, to: B, body: { value: 'hello', expect: 'receipt', flow: ['k7Qx.1', 12, 12], ack: { path: 'p2p', generation: 2, flow: ['Zt0a.4', 9, 12] } } } },
  { rule: 'MSG-9', title: 'a lone surrogate in a body comes out as it went in', text: frame({ body: { value: '\ud800' } }), means: { id: 7, type: 'create', from: A, to: B, body: { value: '\ud800' } } },
  { rule: 'MSG-9', title: 'keys that are methods elsewhere', text: frame({ body: { constructor: 1, hasOwnProperty: 2, toString: 3 } }), means: { id: 7, type: 'create', from: A, to: B, body: { constructor: 1, hasOwnProperty: 2, toString: 3 } } },
  { rule: 'MSG-9', title: '__proto__ as a value', text: frame({ body: { value: '__proto__' } }), means: { id: 7, type: 'create', from: A, to: B, body: { value: '__proto__' } } },
  { rule: 'MSG-9', title: 'as deep as a body may be', text: nested(100), means: { id: 7, type: 'create', from: A, to: B, body: { value: JSON.parse(`${'['.repeat(100)}${']'.repeat(100)}`) } } },
  { rule: 'ADR-2', title: 'addresses in canonical form', text: frame({ from: 'Runtime://A.Example/r1/', to: 'HYPERTY://B.example/Chat' }), means: { id: 7, type: 'create', from: 'hyperty-runtime://a.example/r1', to: 'hyperty://b.example/Chat' }, encoded: frame({ from: 'hyperty-runtime://a.example/r1', to: 'hyperty://b.example/Chat' }) },
  { rule: 'SES-1', title: 'the opening of a session', text: frame({ type: 'open', from: 'hyperty-runtime://a.example/r1', to: 'mn:/session' }), means: { id: 7, type: 'open', from: 'hyperty-runtime://a.example/r1', to: 'mn:/session' } },
];

export const BAD_MESSAGES: readonly BadVector[] = [
  ...['', ' ', '{', 'hello', '{"id":7', '\u0000', '{"id":NaN}', '{id:7}', '['.repeat(1_000_000)].map((text, index) => (
    { rule: 'MSG-1', title: `not JSON, number ${String(index + 1)}`, text, code: 'E_MESSAGE' as const })),
  ...['null', 'true', '7', '"create"', '[]', `[${frame({})}]`, '{}', `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`].map((text, index) => (
    { rule: 'MSG-1', title: `JSON that is no message, number ${String(index + 1)}`, text, code: 'E_MESSAGE' as const })),
  { rule: 'MSG-1', title: 'a body that is a list', text: frame({ body: [] }), code: 'E_MESSAGE', answered },
  { rule: 'MSG-1', title: 'a body that is text', text: frame({ body: 'hello' }), code: 'E_MESSAGE', answered },
  { rule: 'MSG-1', title: 'the header in a prototype', text: `{"__proto__":${frame({})}}`, code: 'E_MESSAGE' },
  ...[undefined, null, '', {}, [], [7], true, 'x'.repeat(257), 'x'.repeat(1_000_000), '\ud800', 'a\udfffb'].map((id, index) => (
    { rule: 'MSG-2', title: `an id that is none, number ${String(index + 1)}`, text: frame({ id }), code: 'E_MESSAGE' as const })),
  { rule: 'MSG-2', title: 'a number too large to be one', text: `{"id":1e999,"type":"create","from":"${A}","to":"${B}"}`, code: 'E_MESSAGE' },
  ...[undefined, null, '', 'CREATED', 'send', 7, ['create'], { type: 'create' }, '__proto__', 'constructor', ' create', 'x'.repeat(1_000_000)].map((type, index) => (
    { rule: 'MSG-3', title: `a type that is none, number ${String(index + 1)}`, text: frame({ type }), code: 'E_MESSAGE' as const, answered })),
  ...[undefined, null, '', 7, {}, 'bob', 'mn:/', 'hyperty:/a/b', 'hyperty://', `hyperty://a/${'x'.repeat(1_000_000)}`, 'hyperty://a/\ud800'].map((from, index) => (
    { rule: 'ADR-1', title: `a sender that is no address, number ${String(index + 1)}`, text: frame({ from }), code: 'E_ADDRESS' as const })),
  ...[undefined, null, '', 7, {}, 'bob', [['hyperty://a/1']], ['bob'], [null]].map((to, index) => (
    { rule: 'ADR-1', title: `a recipient that is no address, number ${String(index + 1)}`, text: frame({ to }), code: 'E_ADDRESS' as const, answered: { id: 7, from: A, to: 'mn:/session' } })),
  { rule: 'MSG-4', title: 'one bad address in a list', text: frame({ to: ['nobody', B] }), code: 'E_ADDRESS', answered },
  { rule: 'MSG-4', title: 'an empty list', text: frame({ to: [] }), code: 'E_MESSAGE', answered: { id: 7, from: A, to: 'mn:/session' } },
  { rule: 'MSG-4', title: 'a list that is too long', text: frame({ to: recipients(1001) }), code: 'E_MESSAGE', answered: { id: 7, from: A, to: 'hyperty://b.example/0' } },
  ...[undefined, null, {}, { code: '200' }, { code: null }, { code: 200.5 }, { code: 0 }, { code: 99 }, { code: 1000 }, { code: -200 }, { code: [200] }].map((body, index) => (
    { rule: 'MSG-5', title: `a response without a code, number ${String(index + 1)}`, text: frame({ type: 'response', body }), code: 'E_MESSAGE' as const })),
  { rule: 'MSG-5', title: 'a response to a list', text: frame({ type: 'response', to: [A], body: { code: 200 } }), code: 'E_MESSAGE' },
  { rule: 'MSG-5', title: 'an upper-case response is a response, too: it is not answered', text: frame({ type: 'RESPONSE', body: {} }), code: 'E_MESSAGE' },
  { rule: 'MSG-9', title: 'a __proto__ key in a body', text: `{"id":7,"type":"create","from":"${A}","to":"${B}","body":{"__proto__":{"code":200}}}`, code: 'E_MESSAGE', answered },
  { rule: 'MSG-9', title: 'a __proto__ key further down', text: `{"id":7,"type":"create","from":"${A}","to":"${B}","body":{"value":[{"__proto__":1}]}}`, code: 'E_MESSAGE', answered },
  { rule: 'MSG-9', title: 'one level too deep', text: nested(101), code: 'E_MESSAGE', answered },
  { rule: 'MSG-9', title: 'a million levels too deep', text: nested(1_000_000), code: 'E_MESSAGE', answered },
];

/** Valid addresses with their canonical form, and their parts where those are of interest. */
export const GOOD_ADDRESSES: readonly (readonly [text: string, canonical: string, parts?: readonly [scheme: string, domain: string, path: string]])[] = [
  ['hyperty://example.com/alice', 'hyperty://example.com/alice', ['hyperty', 'example.com', 'alice']],
  ['HYPERTY://EXAMPLE.com/Alice', 'hyperty://example.com/Alice', ['hyperty', 'example.com', 'Alice']],
  ['hyperty://example.com/alice/', 'hyperty://example.com/alice'],
  ['hyperty://example.com/', 'hyperty://example.com', ['hyperty', 'example.com', '']],
  ['hyperty://localhost/1', 'hyperty://localhost/1'],
  ['hyperty://127.0.0.1/1', 'hyperty://127.0.0.1/1', ['hyperty', '127.0.0.1', '1']],
  ['hyperty://xn--bcher-kva.example/1', 'hyperty://xn--bcher-kva.example/1'],
  ['hyperty://my_host/1', 'hyperty://my_host/1'],
  ['runtime://Example.com/r1/sm', 'hyperty-runtime://example.com/r1/sm', ['hyperty-runtime', 'example.com', 'r1/sm']],
  ['RUNTIME://example.com/r1', 'hyperty-runtime://example.com/r1'],
  ['runtime://example.com', 'hyperty-runtime://example.com'],
  ['hyperty-runtime://example.com/r1/p2phandler/1', 'hyperty-runtime://example.com/r1/p2phandler/1'],
  ['connection://example.com/c1/changes', 'connection://example.com/c1/changes'],
  ['user://example.com/bob@mail.example', 'user://example.com/bob@mail.example', ['user', 'example.com', 'bob@mail.example']],
  ['user-guid://AbC_-9', 'user-guid://AbC_-9', ['user-guid', 'AbC_-9', '']],
  ['USER-GUID://AbC/', 'user-guid://AbC'],
  ['user-guid://-starts-and-ends-with-a-hyphen-', 'user-guid://-starts-and-ends-with-a-hyphen-'],
  ['domain://msg-node.Example.com/address-allocation', 'domain://msg-node.example.com/address-allocation'],
  ['domain://registry.example.com', 'domain://registry.example.com', ['domain', 'registry.example.com', '']],
  ['hyperty-catalogue://catalogue.example.com/.well-known/protocolstub/default', 'hyperty-catalogue://catalogue.example.com/.well-known/protocolstub/default'],
  ['mn:/session', 'mn:/session', ['mn', '', 'session']],
  ['mn:/client', 'mn:/client', ['mn', '', 'client']],
  ['Constructor://example.com/1', 'constructor://example.com/1'],
  ['hyperty://example.com/日本語/émile/🔑', 'hyperty://example.com/日本語/émile/🔑', ['hyperty', 'example.com', '日本語/émile/🔑']],
  ['hyperty://example.com/a?b=c&d#e%20f', 'hyperty://example.com/a?b=c&d#e%20f'],
  ['hyperty://example.com/../..', 'hyperty://example.com/../..'],
  ['hyperty://a/__proto__', 'hyperty://a/__proto__'],
  [`hyperty://a/${'x'.repeat(2036)}`, `hyperty://a/${'x'.repeat(2036)}`],
];

export const BAD_ADDRESSES: readonly unknown[] = [
  undefined, null, 7, true, {}, [], ['hyperty://a/1'], Symbol('a'), () => 'hyperty://a/1',
  '', ' ', 'bob', 'bob/chat@example.com', 'hyperty', 'hyperty:', 'hyperty:/', 'hyperty://', 'hyperty:///', 'hyperty:///alice', 'hyperty:/example.com/1',
  '://example.com/1', '7://example.com/1', '-a://example.com/1', 'hy perty://example.com/1', 'hyperty://exa mple.com/1', ' hyperty://example.com/1', 'hyperty://example.com/1 ', 'hyperty://example.com/1\n',
  'hyperty://example.com//1', 'hyperty://example.com/1//', 'hyperty://example.com//', 'hyperty://.example.com/1', 'hyperty://example.com./1', 'hyperty://.',
  'hyperty://example.com:9090/1', 'hyperty://bob@example.com/1', 'hyperty://[::1]/1', 'hyperty://bücher.example/1', 'hyperty://example.com?x', 'hyperty://example.com#x',
  'hyperty://example.com/a b', 'hyperty://example.com/a\tb', 'hyperty://example.com/a\u0000', 'hyperty://example.com/\u007f', 'hyperty://example.com/\u2028', 'hyperty://example.com/\ud800', 'hyperty://example.com/\udc00a',
  'mn:/', 'mn:/other', 'mn:session', 'http:/example.com', '__proto__', '__proto__://a/b',
  `hyperty://a/${'x'.repeat(2037)}`, `hyperty://a/${'x'.repeat(1_000_000)}`, `${'x'.repeat(1_000_000)}://a/b`,
  // Its canonical form would be too long.
  `runtime://a/${'x'.repeat(2036)}`,
];
