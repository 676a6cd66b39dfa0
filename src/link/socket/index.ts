/**
 * Links over a local socket: a unix socket of mode 0600, on Windows a named pipe; one JSON message a line. It asks
 * nobody who they are: whoever may open the socket is the user, and what a link may say is its owner's business.
 */
export { connectSocket, type ConnectInit } from './connect.js';
export { listenSocket, type ListenInit, type SocketServer } from './listen.js';
export { socketAddress } from './path.js';
