import t from 'tap';
import { holderOf } from '../../src/domain-server/edge/remote.js';
import { Shares } from '../../src/kit/shares.js';

t.test('one holder has at most his part, and all together at most all', (t) => {
  const shares = new Shares({ most: 10, part: 0.5 });
  t.ok(shares.allows('a', 5));
  shares.add('a', 5);
  t.notOk(shares.allows('a', 1));
  t.equal(shares.excess('a', 3), 3);
  t.equal(shares.refused, 1);
  t.ok(shares.allows('b', 5));
  t.ok(shares.allows(undefined, 10), 'a holder without a name is limited by the total alone');
  t.notOk(shares.hasRoom(6));
  shares.add('a', -5);
  t.ok(shares.allows('a', 5));
  t.equal(shares.total, 0);
  t.ok(new Shares({ most: 1, part: 0.1 }).allows('a', 1), 'a part is at least one');
  t.end();
});

t.test('holders are IPv4 addresses and IPv6 networks of 64 bits', (t) => {
  t.same(['192.0.2.1', '::ffff:192.0.2.1', '2001:db8:0:1:a:b:c:d', '2001:DB8::1:0:0:0:1', '2001:db8::', 'fe80::1%eth0'].map((address) => holderOf(address)),
    ['192.0.2.1', '192.0.2.1', '2001:db8:0:1::/64', '2001:db8:0:1::/64', '2001:db8:0:0::/64', 'fe80:0:0:0::/64']);
  t.same([undefined, '127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'].map((address) => holderOf(address)), [undefined, undefined, undefined, undefined, undefined]);
  t.equal(holderOf('127.0.0.2', { perAddress: 0.25, ofLoopback: 0.25 }), '127.0.0.2');
  t.end();
});
