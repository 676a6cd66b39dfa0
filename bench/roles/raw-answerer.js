import library from 'node-datachannel';
import { Counter } from './serve.js';

const counter = new Counter();
let connection;
let channel;
let onText = () => undefined;

const accept = () => {
  connection = new library.PeerConnection('answerer', { iceServers: [] });
  connection.onLocalDescription((sdp, type) => { process.send({ description: { sdp, type } }); });
  connection.onLocalCandidate((candidate, mid) => { process.send({ candidate: { candidate, mid } }); });
  connection.onDataChannel((opened) => {
    channel = opened;
    channel.onMessage((text) => { onText(text); });
  });
};

process.on('message', async ({ description, candidate, hangUp, count, echo }) => {
  if (description !== undefined) {
    accept();
    connection.setRemoteDescription(description.sdp, description.type);
  } else if (candidate !== undefined) connection.addRemoteCandidate(candidate.candidate, candidate.mid);
  else if (echo === true) onText = (text) => { channel.sendMessage(text); };
  else if (hangUp === true) {
    channel?.close();
    connection?.close();
    process.send({ closed: true });
  } else if (count === true) {
    onText = (text) => { counter.take(text); };
    process.send({ result: await counter.result() });
  }
});
process.on('disconnect', () => {
  library.cleanup();
  process.exit(0);
});
