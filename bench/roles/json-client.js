import { WebSocket } from 'ws';
import { burst, Counter, roundTrips, serve } from './serve.js';

// A client of a message node, or of the relay. Speaks plain JSON, one message per text frame.
const HIGH_WATER = 1024 * 1024;

const counter = new Counter();
const waiting = new Map();
let socket;
let own;
let next = 1;

const send = (message) => { socket.send(JSON.stringify({ id: next++, from: own, ...message })); };

const ask = (message) => new Promise((resolve) => {
  waiting.set(next, resolve);
  send(message);
});

const take = (message) => {
  if (message.type === 'response') {
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  } else if (message.body.expect === 'response') {
    socket.send(JSON.stringify({ id: message.id, type: 'response', from: message.to, to: message.from, body: { code: 200, value: message.body.value } }));
  } else counter.take(message.body.value);
};

serve({
  open: async ({ url, address }) => {
    own = address;
    socket = new WebSocket(url, { perMessageDeflate: false });
    socket.on('message', (data) => { if (data.length > 0) take(JSON.parse(data.toString())); });
    await new Promise((resolve, reject) => { socket.once('open', resolve).once('error', reject); });
    const { body } = await ask({ type: 'open', to: 'mn:/session' });
    if (body.code !== 200) throw new Error(`open: ${JSON.stringify(body)}`);
    return address;
  },
  burst: ({ to, ...of }) => burst(of, (value) => {
    const message = { type: 'create', to, body: { value } };
    if (socket.bufferedAmount < HIGH_WATER) return send(message);
    return new Promise((resolve) => { socket.send(JSON.stringify({ id: next++, from: own, ...message }), resolve); });
  }),
  result: () => counter.result(),
  roundTrips: ({ to, size, count }) => {
    const value = 'x'.repeat(size);
    return roundTrips(count, () => ask({ type: 'create', to, body: { value, expect: 'response' } }));
  },
}, () => socket?.terminate());
