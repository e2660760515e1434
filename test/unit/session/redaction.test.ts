import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCopyRedactor } from '#session/copy-redaction.ts';
import { createRedactor } from '#session/redaction.ts';

const ALL = [
  'EmailAddress',
  'CreditCard',
  'UsSsn',
  'Iban',
  'PhoneNumber',
  'IpAddress',
  'Jwt',
  'AwsAccessKey',
  'PrivateKey',
];
const redaction = { detectors: ALL, patterns: [{ name: 'badge', regex: 'B-[0-9]{6}' }], maxRowBytes: 1000 };
const JWT = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${Buffer.from('{"sub":"a"}').toString('base64url')}.c2lnbmF0dXJl`;

function row(cells: readonly (Buffer | undefined)[]): Buffer {
  const parts = cells.flatMap((cell) => {
    const size = Buffer.alloc(4);
    size.writeInt32BE(cell?.length ?? -1);
    return cell === undefined ? [size] : [size, cell];
  });
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(7);
  head.write('D');
  head.writeInt32BE(body.length + 6, 1);
  head.writeInt16BE(cells.length, 5);
  return Buffer.concat([head, body]);
}

function redactOne(cell: Buffer, typeOid: number, format: number): Buffer {
  const frame = createRedactor(redaction, [{ name: 'c', typeOid, format }]).redactRow(row([cell]));
  expect(frame.readInt32BE(1)).toBe(frame.length - 1);
  return frame.readInt32BE(7) < 0 ? Buffer.from('NULL') : frame.subarray(11);
}

const text = (value: string, typeOid = 25, format = 0): string =>
  redactOne(Buffer.from(value), typeOid, format).toString();

describe('content redaction', () => {
  test.each([
    ['mail a.b+c@example.com now', 'mail [redacted:EmailAddress] now'],
    ['masked at read already: a***@example.com', 'masked at read already: a***@example.com'],
    ['no mask: ab***@example.com', 'no mask: [redacted:EmailAddress]'],
    ['card 4111 1111 1111 1111.', 'card [redacted:CreditCard].'],
    ['ssn 536-22-8726', 'ssn [redacted:UsSsn]'],
    ['iban DE89 3704 0044 0532 0130 00 paid', 'iban [redacted:Iban] paid'],
    ['call +1 202-456-1111', 'call [redacted:PhoneNumber]'],
    ['from 192.168.1.20 and fe80::1', 'from [redacted:IpAddress] and [redacted:IpAddress]'],
    [`token ${JWT}`, 'token [redacted:Jwt]'],
    ['key AKIAIOSFODNN7EXAMPLE', 'key [redacted:AwsAccessKey]'],
    ['-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----', '[redacted:PrivateKey]'],
    ['badge B-123456', 'badge [redacted:badge]'],
  ])('%j becomes %j', (input, expected) => {
    expect(text(input)).toBe(expected);
    expect(text(input, 1043, 1)).toBe(expected);
  });

  test.each(['order 4111111111111112', 'DE88370400440532013000x', 'a note about order 0012345', '12:30:45', 'x@y'])(
    '%j stays, and the row is the same object',
    (input) => {
      const frame = row([Buffer.from(input)]);
      expect(createRedactor(redaction, [{ name: 'c', typeOid: 25, format: 0 }]).redactRow(frame)).toBe(frame);
    },
  );

  test('json stays valid, escapes hide nothing, jsonb keeps its version, arrays and composites their form', () => {
    expect(JSON.parse(text('{"m":"a\\u0040b.com","n":[1,"x"]}', 114))).toEqual({
      m: '[redacted:EmailAddress]',
      n: [1, 'x'],
    });
    expect(text('\u0001{"m": "a@b.com"}', 3802, 1)).toBe('\u0001{"m": "[redacted:EmailAddress]"}');
    expect(text('{a@b.com,"x \\" c@d.org"}', 1009)).toBe('{"[redacted:EmailAddress]","x \\" [redacted:EmailAddress]"}');
    expect(text('(1,a@b.com)', 99999)).toBe('(1,"[redacted:EmailAddress]")');
  });

  test('numbers are not touched', () => {
    expect(text('4111111111111111', 20)).toBe('4111111111111111');
  });

  test('a binary array is redacted by element', () => {
    const head = Buffer.alloc(20);
    head.writeInt32BE(1, 0);
    head.writeInt32BE(25, 8);
    head.writeInt32BE(1, 12);
    head.writeInt32BE(1, 16);
    const part = (value: string): Buffer => {
      const size = Buffer.alloc(4);
      size.writeInt32BE(Buffer.byteLength(value));
      return Buffer.concat([head, size, Buffer.from(value)]);
    };
    expect(redactOne(part('a@b.com'), 1009, 1)).toEqual(part('[redacted:EmailAddress]'));
  });

  test.each([
    ['text', '1\ta@b.com\n2\tx\n', '1\t[redacted:EmailAddress]\n2\tx\n'],
    ['csv', '1,"a@b.com\nx"\n2,x\n', '1,"[redacted:EmailAddress]\nx"\n2,x\n'],
  ] as const)('COPY %s in any split gives whole redacted rows', (format, input, expected) => {
    fc.assert(
      fc.property(fc.array(fc.nat(input.length), { maxLength: 5 }), (cuts) => {
        const redactor = createCopyRedactor(redaction, { format });
        const bounds = [0, ...cuts.toSorted((a, b) => a - b), input.length];
        const out = bounds.slice(1).map((end, index) => redactor.push(Buffer.from(input.slice(bounds[index], end))));
        expect(Buffer.concat([...out, redactor.end()]).toString()).toBe(expected);
      }),
    );
  });

  test('a row of COPY data that goes on past the limit is not held', () => {
    const redactor = createCopyRedactor(redaction, { format: 'text' });
    redactor.push(Buffer.from('x'.repeat(1000)));
    expect(() => redactor.push(Buffer.from('x'))).toThrow('a row of COPY data is too long to be redacted');
  });

  test('no address survives, wherever it stands', () => {
    const around = fc.string({ unit: 'binary-ascii', maxLength: 20 });
    fc.assert(
      fc.property(around, around, (before, after) => {
        expect(text(`${before} jane@example.com ${after}`)).not.toContain('jane@example.com');
      }),
    );
  });
});
