import { WebSocketServer } from 'ws';
import { serve } from './serve.js';

// The reference for a message node: passes each frame unchanged to the client that `to` names.
const clients = new Map();
let server;

serve({
  start: () => new Promise((resolve) => {
    server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false }, () => { resolve(`ws://127.0.0.1:${server.address().port}`); });
    server.on('connection', (socket) => {
      socket.on('message', (data) => {
        const text = data.toString();
        const { id, type, from, to } = JSON.parse(text);
        if (type === 'open') {
          clients.set(from, socket);
          socket.send(JSON.stringify({ id, type: 'response', from: to, to: from, body: { code: 200 } }));
          return;
        }
        const receiver = clients.get(to);
        receiver?.send(text);
        // Slows senders down to the pace of their receiver.
        if (receiver?.bufferedAmount > 4 * 1024 * 1024) {
          socket.pause();
          receiver.send('', () => { socket.resume(); });
        }
      });
    });
  }),
}, () => server?.close());
