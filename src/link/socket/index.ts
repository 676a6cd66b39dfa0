/**
 * Links over a local socket, one JSON message per line: a Unix socket of mode 0600, or a named pipe on Windows.
 * `listenSocket` leaves authentication to the mode of the socket. `listenControl` also asks for a token. The link's
 * owner decides what a link may say.
 */
export { connectSocket, type ConnectInit } from './connect.js';
export { listenSocket, type ListenInit, type SocketServer } from './listen.js';
export { listenControl, type ControlServer } from './control.js';
export { socketAddress } from './path.js';
