/**
 * The P2P requester stub, deployed on demand for one other runtime. It sets up a connection with that runtime's
 * P2P handler and carries messages over it. It never answers set-ups; that is the handler's part.
 */
import { ProtoflyError, type Activate } from '../../protocol/index.js';
import { P2pRequesterStub } from './requester.js';

const activate: Activate = (url, bus, config, sandbox) => {
  const { webrtc: engine, clock, log } = sandbox;
  const { remoteRuntimeURL: remote, p2pHandler: handler } = config;
  if (engine === undefined) throw new ProtoflyError('E_PLATFORM', 'the P2P requester needs WebRTC, which this sandbox does not grant');
  if (remote === undefined || handler === undefined) throw new ProtoflyError('E_USAGE', 'the P2P requester needs remoteRuntimeURL and p2pHandler');
  return { name: 'p2p-requester', instance: new P2pRequesterStub({ bus, engine, clock, log, syncher: sandbox.createSyncher() }, { ...config, url, remote, handler }) };
};

export default activate;
