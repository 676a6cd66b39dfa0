/**
 * The P2P handler stub, deployed once when a runtime starts. It answers the set-ups of other runtimes, and
 * carries messages over the resulting connections, one port each. It never starts a set-up; that is the
 * requester's part.
 */
import { ProtoflyError, type Activate } from '../../protocol/index.js';
import { P2pHandlerStub } from './handler.js';

const activate: Activate = (url, bus, config, sandbox) => {
  const { webrtc: engine, clock, log } = sandbox;
  if (engine === undefined) throw new ProtoflyError('E_PLATFORM', 'the P2P handler needs WebRTC, which this sandbox does not grant');
  return { name: 'p2p-handler', instance: new P2pHandlerStub({ bus, engine, clock, log, syncher: sandbox.createSyncher() }, { ...config, url }) };
};

export default activate;
