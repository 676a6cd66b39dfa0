import t from 'tap';
import fc from 'fast-check';
import { ProtoflyFraming, RethinkFraming, type Framing, type FramingComponents } from '../../src/protostubs/p2p/index.js';
import { LANE_OVERHEAD, LaneReader, LaneWriter } from '../../src/protostubs/p2p/lanes.js';
import { BULK, RecordWriter, KIND, readFrame, WINDOW, type FrameRecord } from '../../src/protostubs/p2p/records.js';
import { encodeMessage, parseAddress, type Message, type Request } from '../../src/protocol/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const ALICE = parseAddress('hyperty://localhost/alice');
const BOB = parseAddress('hyperty://localhost/bob');
const CAROL = parseAddress('hyperty://localhost/carol');

let ids = 0;
const note = (value: unknown, to = BOB, from = ALICE): Request => ({ id: ++ids, type: 'update', from, to, body: { value } });
const valueOf = (message: Message): unknown => message.body?.value;

interface Side {
  framing: Framing;
  readonly received: Message[];
  readonly frames: (string | Uint8Array)[];
  readonly ends: string[];
  readonly leaving: string[];
  readonly health: string[];
  /** The runtime's reaction to a message. */
  take: (message: Message) => void | Promise<void>;
  /** True while the channel takes no frames. */
  full: boolean;
  /** True while sent frames don't arrive. */
  cut: boolean;
}

/** Two framings and the channel between them. Frames are copied, as in a real channel. */
const pair = (make: (components: FramingComponents) => Framing, maxFrame = 64 * 1024) => {
  const clock = new ManualClock();
  const sides: [Side, Side] = [0, 1].map((): Partial<Side> => ({ received: [], frames: [], ends: [], leaving: [], health: [], take: () => undefined, full: false, cut: false })) as [Side, Side];
  sides.forEach((side, index) => {
    const other = sides[1 - index]!;
    side.framing = make({
      clock, maxFrame,
      log: () => undefined,
      sendFrame: (frame) => {
        const copy = typeof frame === 'string' ? frame : frame.slice();
        side.frames.push(copy);
        if (!side.cut) setImmediate(() => { other.framing.receive(copy); });
        return !side.full;
      },
      deliver: (message) => {
        side.received.push(message);
        return side.take(message);
      },
      onLeaving: (reason) => { side.leaving.push(reason); },
      onHealth: ({ health, reason }) => { side.health.push(reason ?? health); },
      onEnd: (reason) => { side.ends.push(reason); },
    });
  });
  const [a, b] = sides;
  const settle = async (): Promise<void> => {
    for (let before = -1; before !== a.frames.length + b.frames.length;) {
      before = a.frames.length + b.frames.length;
      await turns(5);
    }
  };
  return { clock, a, b, settle, stop: () => { a.framing.stop(); b.framing.stop(); } };
};

const protofly = (components: FramingComponents): Framing => new ProtoflyFraming(components);
const rethink = (components: FramingComponents): Framing => new RethinkFraming(components);

for (const [name, make] of [['protofly/1', protofly], ['rethink/1', rethink]] as const) {
  await t.test(`${name}: any messages arrive whole and in order`, async (t) => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.record({ text: fc.string({ unit: 'binary', maxLength: 30 }), times: fc.constantFrom(1, 1, 1, 700, 20_000), to: fc.constantFrom(BOB, CAROL) }), { maxLength: 15 }),
      fc.constantFrom(1024, 16 * 1024, 64 * 1024, 256 * 1024),
      async (notes, maxFrame) => {
        const { a, b, settle, stop } = pair(make, name === 'rethink/1' ? 256 * 1024 : maxFrame);
        const sent = notes.map(({ text, times, to }) => note({ content: text.repeat(times).slice(0, 100_000) }, to));
        for (const message of sent) void a.framing.send(message);
        await settle();
        for (const to of [BOB, CAROL]) t.strictSame(b.received.filter((message) => message.to === to), sent.filter((message) => message.to === to));
        t.strictSame(b.ends, []);
        stop();
      },
    ), { numRuns: 40 });
  });

  await t.test(`${name}: no frame ends anything but the connection`, async (t) => {
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.string({ maxLength: 60 }), fc.json()), { maxLength: 10 }), async (frames) => {
      const { b, stop } = pair(make);
      for (const frame of frames) b.framing.receive(frame);
      await turns(2);
      t.strictSame(b.received, []);
      stop();
    }), { numRuns: 200 });
  });
}

await t.test('lanes: any texts are put together again to the letter', (t) => {
  const address = fc.constantFrom('hyperty://a.example/1', 'hyperty://a.example/2', 'hyperty://b.example/,"body":', 'hyperty://b.example/\\u0022');
  const text = fc.oneof(
    fc.record({ id: fc.oneof(fc.integer(), fc.string({ unit: 'binary' })), type: fc.constantFrom('create', 'response'), from: address, to: address, body: fc.option(fc.dictionary(fc.string(), fc.json()), { nil: undefined }) }).map((message) => JSON.stringify(message)),
    fc.constantFrom('{"id":1,"body":{"value":"x\\ty"},"from":"hyperty://a.example/1"}', '{ "id": 1 }', '{"id":1}', '{"id":"a\\"b","body":{}}', '{"id":\t1\t,"type":"create","body":{}}', '{"type":"create","id":3}', '', '{"id":', '{"id":"', `{"id":1,"from":"${'x'.repeat(9000)}","body":{}}`),
    fc.integer({ max: 400, min: 0 }).map((number) => `{"id":${String(number)},"to":"lane ${String(number)}","body":{}}`),
  );
  fc.assert(fc.property(fc.array(text, { maxLength: 700 }), (texts) => {
    const [writer, reader] = [new LaneWriter(), new LaneReader()];
    for (const one of texts) {
      const line = writer.shorten(one);
      if (line.length > one.length + LANE_OVERHEAD) throw new Error(`${String(line.length)} units for ${String(one.length)}`);
      const read = line.split('\n').map((part) => reader.read(part)).filter((part) => part !== undefined);
      if (read.length !== 1 || read[0] !== one) throw new Error(`${JSON.stringify(read)} instead of ${JSON.stringify(one)}`);
    }
  }));
  const writer = new LaneWriter();
  const short = [1, 2].map((id) => writer.shorten(encodeMessage({ ...note('x'), id })));
  t.equal(short[0], '=0\t,"type":"update","from":"hyperty://localhost/alice","to":"hyperty://localhost/bob"\n0\t1\t,"body":{"value":"x"}}');
  t.equal(short[1], '0\t2\t,"body":{"value":"x"}}');
  for (const bad of ['0', '0\t', '1\t2\t}', '256\t1\t}', '=256\t,', '=\t', '=x\t', '=0', '0x1\t1\t}', `=1\t${'x'.repeat(9000)}`]) {
    const reader = new LaneReader();
    reader.read('=0\t,"type":"update"');
    t.throws(() => reader.read(bad), bad.slice(0, 20));
  }
  t.end();
});

await t.test('a line of no lane costs that line', async (t) => {
  const { b, settle, stop } = pair(protofly);
  const writer = new RecordWriter(1024);
  writer.messages(['7\t1\t,"body":{}}', '=7\t,"type":"update","from":"hyperty://localhost/alice","to":"hyperty://localhost/bob"', '7\t2\t,"body":{"value":"y"}}', '7\t3\t,"body":{', '=9999\t', '7\t4\t}']);
  b.framing.receive(writer.take()!.slice());
  await settle();
  t.strictSame(b.received.map(({ id }) => id), [2, 4]);
  t.strictSame(b.ends, []);
  t.equal(b.framing.stats.rejected, 3);
  stop();
});

await t.test('what is sent in one go travels in one frame', async (t) => {
  const { a, b, settle, stop } = pair(protofly);
  for (let n = 0; n < 100; n++) void a.framing.send(note(n));
  await settle();
  t.equal(b.received.length, 100);
  t.equal(a.frames.length, 1);
  stop();
});

await t.test('a large message is overtaken by what goes another way, never by what follows it on its own', async (t) => {
  const { a, b, settle, stop } = pair(protofly);
  const large = 'x'.repeat(1_000_000);
  for (const message of [note('first'), note(large), note('behind'), note(large), note('last'), note('elsewhere', CAROL)]) void a.framing.send(message);
  await settle();
  t.strictSame(b.received.map((message) => (valueOf(message) === large ? 'LARGE' : valueOf(message))), ['first', 'elsewhere', 'LARGE', 'behind', 'LARGE', 'last']);
  stop();
});

await t.test('a sender stops when the window is used up, and goes on when the receiver has consumed', async (t) => {
  const { a, b, settle, stop } = pair(protofly);
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => { release = resolve; });
  b.take = () => (b.received.length === 1 ? gate : undefined);
  const text = 'y'.repeat(10_000);
  const backpressures = Array.from({ length: 300 }, () => a.framing.send(note(text)));
  await settle();
  const inFlight = a.frames.reduce((sum, frame) => sum + frame.length, 0);
  t.ok(inFlight > WINDOW * 0.9 && inFlight < WINDOW * 1.1, `${String(inFlight)} bytes in flight`);
  t.equal(b.received.length, 1);
  t.equal(backpressures[0], undefined);
  t.type(backpressures.at(-1), Promise, 'whoever sends more is told');
  release();
  await settle();
  await backpressures.at(-1);
  t.equal(b.received.length, 300);
  stop();
});

await t.test('FIN is acknowledged when everything before it has come; the other side still sends what it had accepted', async (t) => {
  const { a, b, settle, stop } = pair(protofly);
  for (let n = 0; n < 1000; n++) void a.framing.send(note(n));
  void b.framing.send(note('meanwhile', ALICE, BOB));
  const finished = a.framing.finish(2000);
  t.throws(() => a.framing.send(note('late')), { code: 'E_LINK_CLOSED' });
  await settle();
  t.equal(await finished, true);
  t.equal(b.received.length, 1000);
  t.equal(a.received.length, 1);
  t.equal(b.leaving.length, 1);
  t.throws(() => b.framing.send(note('late')), { code: 'E_LINK_CLOSED' });
  stop();
});

await t.test('a goodbye that nobody answers ends after the time it was given; what was not sent comes back', async (t) => {
  const { a, clock, stop } = pair(protofly);
  a.full = true;
  a.cut = true;
  void a.framing.send(note('gone'));
  await turns(2);
  void a.framing.send(note('kept'));
  const finished = a.framing.finish(500);
  clock.advance(500);
  t.equal(await finished, false);
  t.strictSame(a.framing.stop().unsent.map(valueOf), ['kept']);
  stop();
});

await t.test('silence makes a connection suspect after 2 s and ends it after 10 s; one that answers lives on', async (t) => {
  const { a, b, clock, settle, stop } = pair(protofly);
  const pass = async (milliseconds: number): Promise<void> => {
    for (let passed = 0; passed < milliseconds; passed += 250) {
      clock.advance(250);
      await settle();
    }
  };
  await pass(10_000);
  t.strictSame([...a.ends, ...b.ends, ...a.health.slice(1), ...b.health.slice(1)], [], 'the round trip is told, and nothing else');
  b.cut = true;
  await pass(1750);
  t.strictSame(a.health.slice(1), []);
  await pass(1000);
  t.strictSame(a.health.slice(1), ['silent for 2.0 s']);
  t.strictSame(a.ends, [], 'suspect is not the end');
  b.cut = false;
  await pass(1500);
  t.match(a.health.slice(2), [/^heard again after \d\.\d s$/]);
  b.cut = true;
  await pass(12_000);
  t.match(a.ends, [/silent for 10\.\d s/]);
  stop();
});

await t.test('who sends many messages over a slow path and hears no answer sees that they arrive', async (t) => {
  const { a, b, clock, settle, stop } = pair(protofly);
  // The pings of `a` are stuck behind its messages: only the messages reach the other side.
  const writer = new RecordWriter(1024);
  a.cut = true;
  for (let n = 0; n < 40; n++) {
    writer.messages([encodeMessage(note(n))]);
    b.framing.receive(writer.take()!.slice());
    clock.advance(250);
    await settle();
  }
  t.strictSame([...a.health, ...a.ends], []);
  stop();
});

await t.test('a process that stood still does not take its own silence for the other side\'s', async (t) => {
  const { a, clock, stop } = pair(protofly);
  const now = clock.now.bind(clock);
  let away = 0;
  clock.now = () => now() + away;
  a.cut = true;
  clock.advance(1000);
  away = 60_000;
  clock.advance(1000);
  t.strictSame([...a.ends, ...a.health], []);
  clock.advance(500);
  t.strictSame(a.health, ['silent for 2.0 s']);
  await turns(1);
  stop();
});

await t.test('a malformed message inside a frame costs that message only', async (t) => {
  const { b, stop } = pair(protofly);
  const writer = new RecordWriter(1024);
  writer.messages([encodeMessage(note('good')), '{"id":', '{}', encodeMessage(note('good too'))]);
  b.framing.receive(writer.take()!);
  await turns(1);
  t.strictSame(b.received.map(valueOf), ['good', 'good too']);
  t.equal(b.framing.stats.rejected, 2);
  t.strictSame(b.ends, []);
  stop();
});

const bytes = (...parts: (number | readonly number[])[]): Uint8Array => Uint8Array.from(parts.flat());
const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const begin = (stream: number, total: number): Uint8Array => bytes(KIND.begin, 0, stream, u32(total));
const chunk = (stream: number, length: number): Uint8Array => bytes(KIND.chunk, 0, stream, u32(length), Array.from({ length }, () => 32));

const VIOLATIONS: readonly (readonly [string, readonly (string | Uint8Array)[]])[] = [
  ['a text frame', ['{}']],
  ['an empty frame', [bytes()]],
  ['an unknown kind', [bytes(99)]],
  ['a length beyond the frame', [bytes(KIND.messages, u32(5), 1)]],
  ['a length of 4 GiB', [bytes(KIND.messages, u32(0xffffffff), 1)]],
  ['an empty record', [bytes(KIND.messages, u32(0))]],
  ['a cut-off record', [bytes(KIND.credit, 0, 0)]],
  ['a chunk of no stream', [chunk(1, 5)]],
  ['a stream begun twice', [begin(1, 10), begin(1, 10)]],
  ['more chunks than announced', [begin(1, 4), chunk(1, 5)]],
  ['a message above the limit', [begin(1, BULK + 1)]],
  ['more in chunks than the credit', [begin(1, BULK - 1), begin(2, 2)]],
  ['credit for what was never sent', [bytes(KIND.credit, u32(1), u32(0))]],
  ['FIN-ACK without FIN', [bytes(KIND.finAck)]],
  ['chunks of a byte without end', [begin(1, 100_000), ...Array.from({ length: 1100 }, () => chunk(1, 1))]],
  ['too many streams', Array.from({ length: 17 }, (_, n) => begin(n + 1, 10))],
  ['pings without end in one frame', [bytes(Array.from({ length: 20 }, () => [KIND.ping, ...u32(1)]).flat())]],
];

for (const [what, frames] of VIOLATIONS) {
  await t.test(`hostile: ${what} ends the connection, with the reason`, async (t) => {
    const { b, stop } = pair(protofly);
    for (const frame of frames) b.framing.receive(frame);
    await turns(1);
    t.match(b.ends, [/broke the framing/]);
    t.equal(b.ends.length, 1);
    stop();
  });
}

await t.test('hostile: more than the window allows ends the connection', async (t) => {
  const { b, stop } = pair(protofly);
  b.take = () => new Promise(() => undefined);
  const writer = new RecordWriter(200 * 1024);
  for (let n = 0; n < 8 && b.ends.length === 0; n++) {
    writer.messages([encodeMessage(note('z'.repeat(60_000))), encodeMessage(note('z'.repeat(60_000))), encodeMessage(note('z'.repeat(60_000)))]);
    b.framing.receive(writer.take()!.slice());
  }
  t.match(b.ends, [/window/]);
  t.equal(b.received.length, 1);
  await turns(1);
  stop();
});

await t.test('the wire format, both ways', (t) => {
  const vectors: readonly (readonly [string, (writer: RecordWriter) => void, FrameRecord])[] = [
    ['01000000026869', (writer) => { writer.messages(['hi']); }, { kind: 'messages', payload: bytes(0x68, 0x69) }],
    ['0100000003610a62', (writer) => { writer.messages(['a', 'b']); }, { kind: 'messages', payload: bytes(0x61, 0x0a, 0x62) }],
    ['020102000003e8', (writer) => { writer.begin(0x102, 1000); }, { kind: 'begin', stream: 0x102, total: 1000 }],
    ['03000100000001ff', (writer) => { writer.chunk(1, bytes(255)); }, { kind: 'chunk', stream: 1, payload: bytes(255) }],
    ['040001000000000005', (writer) => { writer.credit(65_536, 5); }, { kind: 'credit', window: 65_536, bulk: 5 }],
    ['05deadbeef', (writer) => { writer.pingOrPong('ping', 0xdeadbeef); }, { kind: 'ping', nonce: 0xdeadbeef }],
    ['0600000007', (writer) => { writer.pingOrPong('pong', 7); }, { kind: 'pong', nonce: 7 }],
    ['07', (writer) => { writer.fin(false); }, { kind: 'fin' }],
    ['08', (writer) => { writer.fin(true); }, { kind: 'fin-ack' }],
  ];
  for (const [hex, write, record] of vectors) {
    const writer = new RecordWriter(100);
    write(writer);
    const frame = writer.take()!;
    t.equal(Buffer.from(frame).toString('hex'), hex);
    t.strictSame(JSON.stringify([...readFrame(frame)]), JSON.stringify([record]));
    for (let length = 1; length < frame.length; length++) t.throws(() => [...readFrame(frame.subarray(0, length))], { message: /cut off|longer than its frame/ });
  }
  t.end();
});

await t.test('rethink/1 on the wire: whole messages in one text frame, large content in pieces, binary pieces as base64', async (t) => {
  const { a, b, settle, stop } = pair(rethink);
  void a.framing.send(note({ content: 'short' }));
  void a.framing.send(note({ content: 'l'.repeat(20_000), mimetype: 'text/plain' }));
  await settle();
  const frames = a.frames.map((frame) => JSON.parse(String(frame)) as { uuid: string; data: { dataSize: number; textMessage: Message } | string });
  t.match(frames[0], { uuid: /^.{12}$/, data: { dataSize: 0, textMessage: { body: { value: { content: 'short' } } } } });
  t.match(frames[1], { data: { dataSize: 20_000, textMessage: { body: { value: { mimetype: 'text/plain' } } } } });
  t.equal((frames[1]!.data as { textMessage: { body: { value: object } } }).textMessage.body.value.hasOwnProperty('content'), false);
  t.strictSame(frames.slice(2).map(({ data }) => (data as string).length), [16_384, 3616]);
  const uuid = 'abcdefghijkl';
  b.framing.receive(JSON.stringify({ uuid, data: { uuid, sendingTime: 1, dataSize: 3, textMessage: note({ mimetype: 'image/png' }) } }));
  b.framing.receive(new Uint8Array([...Buffer.from(uuid, 'utf16le'), 1, 2, 3]));
  t.match(b.received.at(-1), { body: { value: { mimetype: 'image/png', content: 'AQID', encoding: 'base64' } } });
  stop();
});
