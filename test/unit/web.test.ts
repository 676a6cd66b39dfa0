import t from 'tap';
import { domainUrlOf, hideCredentials, shownUrl, webFailure } from '../../src/protocol/index.js';

t.test('a URL is shown without the user name and password in it', (t) => {
  const cases = [
    ['http://example.com:9090/x', 'http://example.com:9090/x'], ['https://example.com/a@b', 'https://example.com/a@b'], ['localhost:9090', 'localhost:9090'], ['example.com', 'example.com'],
    ['http://u:secret@example.com/x', 'http://…@example.com/x'], ['http://secret@example.com', 'http://…@example.com'], ['http://u:s/ec@ret@example.com', 'http://…@example.com'],
    ['u:secret@example.com:9090', 'u:…@example.com:9090'], ['ftp://u:secret@h', 'ftp://…@h'], ['turn:u:secret@h:3478', 'turn:…@h:3478'], ['//u:secret@h', '…@h'], ['HTTP://U:secret@[::1', 'HTTP://…@[::1'],
  ] as const;
  for (const [text, shown] of cases) t.equal(shownUrl(text), shown);
  t.equal(hideCredentials('see http://u:secret@h/x and "wss://secret@h", not user://h/a@b'), 'see http://…@h/x and "wss://…@h", not user://h/a@b');
  t.end();
});

t.test('the URL of a domain has no user name, no password, and no slash at its end', (t) => {
  for (const [text, url] of [['http://Example.com:80/', 'http://example.com'], ['https://example.com/below//', 'https://example.com/below'], ['http://[::1]:9090', 'http://[::1]:9090']] as const) t.equal(domainUrlOf(text), url);
  for (const text of ['', 'example.com', 'ftp://example.com', 'http://', 'http://u:secret@example.com', 'http://secret@example.com', 'ftp://u:secret@h', 'http://u:secret@h:port']) {
    t.throws(() => domainUrlOf(text), { code: 'E_USAGE', hint: String });
    try {
      domainUrlOf(text);
    } catch (error) {
      t.notMatch((error as Error).message, 'secret');
    }
  }
  t.end();
});

t.test('why there was no answer is in the last cause, whatever was thrown', (t) => {
  const chain: { message: string; cause?: unknown } = { message: 'a ring' };
  chain.cause = { message: 'of causes', cause: chain };
  for (const thrown of [undefined, null, 'text', 7, {}, new Error(''), chain, { cause: 'text' }]) t.match(webFailure(thrown), { reason: /./, hint: /./ });
  t.match(webFailure(new TypeError('fetch failed', { cause: Object.assign(new Error('no'), { code: 'ECONNREFUSED' }) })), { reason: /refused/ });
  t.end();
});
