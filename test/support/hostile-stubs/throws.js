/** Throws wherever it is called, and leaves promises rejected. */
export default function activate(url, bus, { runtimeURL }, { clock }) {
  const fail = (what) => () => { throw new Error(what); };
  bus.addListener('*', fail('listener'));
  bus.addListener(url, async () => { throw new Error('async listener'); });
  bus.postMessage({ type: 'ping', from: url, to: runtimeURL }, fail('answer'));
  setTimeout(fail('timer'), 1);
  setInterval(fail('interval'), 5);
  clock.setTimeout(fail('clock'), 1);
  queueMicrotask(fail('microtask'));
  void Promise.reject(new Error('rejection'));
  void Promise.reject({ get message() { throw new Error('message'); } });
  setTimeout(() => { throw Object.create(null, { message: { get: fail('getter') } }); }, 1);
  new WebSocket('ws://127.0.0.1:22/').onclose = fail('socket');
  const refuse = setInterval(() => { bus.postMessage({ id: 'still', type: 'update', from: url, to: `${runtimeURL}/still` }); }, 10);
  return { name: 'throws', instance: { close: () => { clearInterval(refuse); throw new Error('close'); } } };
}
