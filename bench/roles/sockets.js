import { WebSocket, WebSocketServer } from 'ws';
import { memory, serve } from './serve.js';

// Both ends of many sessions: the bare server as reference, and the client that opens them.
const sockets = [];
let server;

const open = (url, address) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  sockets.push(socket);
  socket.once('error', reject).once('open', () => {
    socket.send(JSON.stringify({ id: 1, type: 'open', from: address, to: 'mn:/session' }));
    socket.once('message', () => { resolve(); });
  });
});

serve({
  memory,
  listen: () => new Promise((resolve) => {
    server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false }, () => { resolve(`ws://127.0.0.1:${server.address().port}`); });
    server.on('connection', (socket) => { socket.on('message', () => { socket.send('{}'); }); });
  }),
  open: async ({ url, count, from }) => {
    for (let i = 0; i < count; i += 50) {
      await Promise.all(Array.from({ length: Math.min(50, count - i) }, (_, j) => open(url, `hyperty-runtime://localhost/idle-${from + i + j}`)));
    }
  },
}, () => { for (const socket of sockets) socket.terminate(); server?.close(); });
