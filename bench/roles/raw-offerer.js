import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import library from 'node-datachannel';
import { burst, now, roundTrips, serve } from './serve.js';

// The reference: node-datachannel with its default settings, and signalling over the pipe to the other process.
const HIGH_WATER = 1024 * 1024;
const LOW_WATER = 256 * 1024;

const other = fork(fileURLToPath(new URL('./raw-answerer.js', import.meta.url)), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
let connection;
let channel;
let onText = () => undefined;
let onOther = () => undefined;

/** Tells the other process how to handle texts, or to hang up. Resolves when it is ready or done. */
const tell = (what) => new Promise((resolve) => {
  onOther = resolve;
  other.send({ what });
});

other.on('message', ({ description, candidate, done }) => {
  try {
    if (description !== undefined) connection?.setRemoteDescription(description.sdp, description.type);
    else if (candidate !== undefined) connection?.addRemoteCandidate(candidate.candidate, candidate.mid);
    else onOther(done);
  } catch {
    // The library ended the connection during the set-up; its state shows that.
  }
});

/** Ends the connection, if there is one, on both sides. Resolves when both have noticed. */
const hangUp = async () => {
  if (connection === undefined) return;
  channel.close();
  connection.close();
  connection = undefined;
  await tell('hang up');
};

/** Resolves when the channel takes more. */
const drained = () => new Promise((resolve) => {
  channel.onBufferedAmountLow(resolve);
  channel.setBufferedAmountLowThreshold(LOW_WATER);
  if (channel.bufferedAmount() <= LOW_WATER) resolve();
});

/** @throws if the library ends the connection before it is open */
const dial = async () => {
  connection = new library.PeerConnection('offerer', { iceServers: [] });
  connection.onLocalDescription((sdp, type) => { other.send({ description: { sdp, type } }); });
  connection.onLocalCandidate((candidate, mid) => { other.send({ candidate: { candidate, mid } }); });
  const opened = new Promise((resolve, reject) => {
    connection.onStateChange((state) => { if (state === 'failed' || state === 'closed') reject(new Error(`the raw connection ${state}`)); });
    channel = connection.createDataChannel('bench');
    channel.onMessage((text) => { onText(text); });
    channel.onOpen(resolve);
  });
  await opened;
};

serve({
  connect: async () => {
    const began = now();
    // With its default settings, the library loses some connections in a race of its own. Dialling again counts
    // towards the time.
    for (let attempts = 1; ; attempts++) {
      try {
        await dial();
        return now() - began;
      } catch (thrown) {
        if (attempts === 5) throw thrown;
        await hangUp();
      }
    }
  },
  disconnect: hangUp,
  burst: async (of) => {
    await tell('count');
    const result = new Promise((resolve) => { onOther = resolve; });
    const began = await burst(of, (text) => {
      channel.sendMessage(text);
      return channel.bufferedAmount() > HIGH_WATER ? drained() : undefined;
    });
    return { began, ...(await result) };
  },
  roundTrips: async ({ size, count }) => {
    const text = 'x'.repeat(size);
    await tell('echo');
    return roundTrips(count, () => new Promise((resolve) => {
      onText = resolve;
      channel.sendMessage(text);
    }));
  },
}, async () => {
  await hangUp();
  other.disconnect();
  library.cleanup();
});
