// The WebRTC end of an outsider (outsider.ts), in a process of its own: the library may crash when it is
// unloaded, and this process ends without unloading it. Talks to its parent in IPC messages.
import nodeDataChannel from 'node-datachannel';

const peer = new nodeDataChannel.PeerConnection('outsider', { iceServers: [], bindAddress: '127.0.0.1', disableFingerprintVerification: true });
const channel = peer.createDataChannel('P2PChannel');
const tell = (what, value) => process.send?.({ what, value });
const end = () => process.kill(process.pid, 'SIGKILL');

let offered = false;
const offer = () => {
  const sdp = peer.localDescription()?.sdp;
  if (offered || peer.gatheringState() !== 'complete' || sdp === undefined) return;
  offered = true;
  tell('offer', sdp);
};
peer.onGatheringStateChange(offer);
channel.onOpen(() => { tell('open'); });
channel.onMessage((data) => { if (typeof data === 'string') tell('text', data); else tell('bytes', Buffer.from(data).toString('base64')); });

process.on('disconnect', end);
process.on('message', ({ what, value }) => {
  try {
    if (what === 'answer') peer.setRemoteDescription(value, 'answer');
    else if (what === 'text') channel.sendMessage(value);
    else if (what === 'bytes') channel.sendMessageBinary(Buffer.from(value, 'base64'));
    else if (what === 'close') {
      // The channel's end must be acknowledged before the library is gone.
      channel.onClosed(() => { peer.close(); });
      peer.onStateChange((state) => { if (state === 'closed') setTimeout(end, 100); });
      channel.close();
      setTimeout(end, 1000);
    }
  } catch {
    // The other side may close the channel at any time.
    tell('refused');
  }
});
offer();
