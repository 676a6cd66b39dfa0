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

const done = (result = true) => { process.send({ done: result }); };

const commands = {
  echo: () => { onText = (text) => { channel.sendMessage(text); }; },
  count: () => {
    onText = (text) => { counter.take(text); };
    Promise.resolve(counter.result()).then(done);
  },
  'hang up': () => {
    channel?.close();
    connection?.close();
  },
};

process.on('message', ({ description, candidate, what }) => {
  if (description !== undefined) {
    accept();
    connection.setRemoteDescription(description.sdp, description.type);
  } else if (candidate !== undefined) {
    try {
      connection.addRemoteCandidate(candidate.candidate, candidate.mid);
    } catch {
      // The library ended the connection during the set-up; the other side dials again.
    }
  } else {
    commands[what]();
    done();
  }
});
process.on('disconnect', () => {
  library.cleanup();
  process.exit(0);
});
