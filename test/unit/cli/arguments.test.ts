import { describe, expect, test } from 'vitest';
import { parseAddress, parseIdentity, parseObjectName, UsageError } from '#cli/arguments.ts';

describe('an identity', () => {
  test('has typed claims', () => {
    const claim = ['department=care', 'level=5', 'active=true', 'id="5"', 'note=a=b', 'zip=01234', 'list=[1]'];
    expect(parseIdentity({ as: 'agents/support-bot', group: ['a', 'b'], claim })).toEqual({
      namespace: 'agents',
      serviceAccount: 'support-bot',
      groups: ['a', 'b'],
      claims: { department: 'care', level: 5, active: true, id: '5', note: 'a=b', zip: '01234', list: '[1]' },
    });
  });

  test.each(['support-bot', 'a/b/c', '/x', 'A/b', 'agents/', ''])('is not %j', (as) => {
    expect(() => parseIdentity({ as, group: [], claim: [] })).toThrow(
      new UsageError(`--as: expected NAMESPACE/NAME such as agents/support-bot, found ${JSON.stringify(as)}`),
    );
  });

  test('a claim needs a name and a value', () => {
    expect(() => parseIdentity({ as: 'a/b', group: [], claim: ['=x'] })).toThrow(
      '--claim: expected NAME=VALUE, found "=x"',
    );
  });
});

test('an object has a namespace and a name', () => {
  expect(parseObjectName('data/shop', '--connection', 'data/shop')).toEqual({ namespace: 'data', name: 'shop' });
});

describe('an address', () => {
  test.each([
    ['127.0.0.1:5432', '127.0.0.1', 5432],
    ['[::1]:0', '::1', 0],
    ['localhost:80', 'localhost', 80],
    ['6000', '127.0.0.1', 6000],
    [':8443', '', 8443],
  ])('%s', (text, host, port) => {
    expect(parseAddress(text, '--listen')).toEqual({ host, port });
  });
  test.each(['', 'x', '1.2.3.4', 'a:b', '127.0.0.1:65536', '::1:5', 'a b:1'])('not %j', (text) => {
    expect(() => parseAddress(text, '--listen')).toThrow('--listen: expected HOST:PORT such as 127.0.0.1:5432');
  });
});
