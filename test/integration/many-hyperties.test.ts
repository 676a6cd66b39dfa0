import t from 'tap';
import { parseAddress } from '../../src/protocol/index.js';
import { memoryStore } from '../../src/store/index.js';
import { startDomain, startTestRuntime } from '../support/nodes.js';

const COUNT = 2500;

t.test('a runtime with more hyperties than one request may name starts, and its domain knows each of them', async (t) => {
  const { server, url } = await startDomain(t, 'a.example');
  const store = memoryStore();
  const kept = store.collection('hyperties');
  const urls = Array.from({ length: COUNT }, (_, index) => parseAddress(`hyperty://a.example/many-${String(index)}`));
  for (const [index, address] of urls.entries()) await kept.put(address, { url: address, name: `h${String(index)}`, resources: [], dataSchemes: [], p2p: false });
  const { node, runtime } = await startTestRuntime(t, { domainUrl: url, user: 'alice', p2p: false }, store);
  t.equal(runtime.status()['hyperties'], COUNT);
  t.ok((server.status()['addresses'] as number) >= COUNT);
  const last = await node.register(`h${String(COUNT - 1)}`);
  t.equal(last.address, urls.at(-1));
});
