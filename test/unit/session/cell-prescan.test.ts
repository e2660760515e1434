import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCellRules } from '#session/cell-redaction.ts';
import { detectorsOf } from '#session/detectors.ts';

const NAMES = [
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
const JWT = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${Buffer.from('{"sub":"a"}').toString('base64url')}.c2ln`;
const FINDINGS = [
  'jane@example.com',
  'jos\u00e9@ex\u00e4mple.org',
  '4111 1111 1111 1111',
  '4111111111111111',
  '378282246310005',
  '6304000000000000',
  '536-22-8726',
  '536 22 8726',
  'DE89 3704 0044 0532 0130 00',
  'gb82west12345698765432',
  '+1 202-456-1111',
  '(202) 456-1111',
  '\uff0b12024561111',
  '192.168.1.20',
  'fe80::1',
  '::ffff:10.0.0.1',
  '2001:db8:0:1:1:1:1:1',
  '1:2:3:4:5:6:10.0.0.1',
  JWT,
  'AKIAIOSFODNN7EXAMPLE',
  'ASIAIOSFODNN7EXAMPLE',
  '-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----',
];
/** Signs out of which near misses and real findings are made. */
const SIGNS = [
  ...Array.from('0123456789'),
  ...Array.from(' -.:+@\\"{}(),;|/'),
  ...Array.from('aeyJAKISBNDEGZ'),
  '\t',
  '\n',
  '\u00e4',
  '\uff11',
  '\u0661',
  '::',
  '@b.co',
  '4111',
];
const noise = fc.array(fc.constantFrom(...SIGNS), { maxLength: 24 }).map((signs) => signs.join(''));
const cell = fc.oneof(
  noise,
  fc.tuple(noise, fc.constantFrom(...FINDINGS), noise).map((parts) => parts.join('')),
  fc.tuple(noise, fc.constantFrom(...FINDINGS), fc.constantFrom(...FINDINGS)).map((parts) => parts.join(' ')),
);
const names = fc.subarray(NAMES, { minLength: 1 });

function slowRedact(detectors: readonly string[], text: string): string {
  return (detectorsOf(detectors) ?? []).reduce((result, detector) => detector.redact(result), text);
}

describe('the prescan', () => {
  test.each(NAMES)('sees every finding of %s that the detectors see in a plain text, wherever it stands', (name) => {
    const check = createCellRules({ detectors: [name], patterns: [] }).checkOf(25, false);
    fc.assert(
      fc.property(cell, noise, noise, (text, before, after) => {
        if (slowRedact([name], text) === text) return;
        const bytes = Buffer.from(before + text + after);
        const start = Buffer.byteLength(before);
        expect(check?.(bytes, start, start + Buffer.byteLength(text))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  const ANY = ['text', 'json', 'array', 'record', 'binary'] as const;
  test.each([
    [25, 0, ANY],
    [114, 0, ['json']],
    [3802, 0, ['json']],
    [1009, 0, ANY],
    [2249, 0, ANY],
    [99_999, 0, ANY],
    [25, 1, ANY],
    [114, 1, ['json']],
    [3802, 1, ['jsonb', 'text', 'binary']],
    [1009, 1, ANY],
    [99_999, 1, [...ANY, 'jsonb']],
  ] as const)('passes no cell of type %i in format %i that redaction would change', (typeOid, format, shapes) => {
    fc.assert(
      fc.property(names, cell, fc.constantFrom<string>(...shapes), (detectors, text, shape) => {
        const { checkOf, redactCell } = createCellRules({ detectors, patterns: [] });
        const bytes = shaped(shape, text);
        const check = checkOf(typeOid, format === 1);
        if (bytes.length === 0 || check?.(bytes, 0, bytes.length) === true) return;
        expect(redactCell(bytes, typeOid, format === 1)).toBe(bytes);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ['person number 123456', 'a note about order 0012345 kept as text'],
    ['2026-01-01 00:00:00+00', 'call extension 12'],
    ['100000300000', 'order 4111111111111112'],
    ['AKIMBO eJy @ home', 'x--y -----'],
  ])('passes %j and %j without a look at them', (...texts) => {
    const detectors = NAMES.filter((name) => name !== 'PhoneNumber');
    const check = createCellRules({ detectors, patterns: [] }).checkOf(25, false);
    for (const text of texts) expect(check?.(Buffer.from(text), 0, Buffer.byteLength(text))).toBe(false);
  });

  test('takes any cell for one to be read where the policy has patterns of its own', () => {
    const { checkOf } = createCellRules({ detectors: [], patterns: [{ name: 'badge', regex: 'B-[0-9]{6}' }] });
    expect(checkOf(25, false)?.(Buffer.from('x'), 0, 1)).toBe(true);
    expect(checkOf(23, false)).toBeUndefined();
  });
});

function shaped(shape: string, text: string): Buffer {
  if (shape === 'json') return Buffer.from(JSON.stringify({ [text]: [1, text] }));
  if (shape === 'jsonb') return Buffer.from(`\u0001${JSON.stringify({ [text]: text })}`);
  if (shape === 'array') return Buffer.from(`{x,"${text.replace(/[\\"]/g, '\\$&')}"}`);
  if (shape === 'record') return Buffer.from(`(1,"${text.replaceAll('\\', '\\\\').replaceAll('"', '""')}")`);
  return shape === 'binary' ? binaryArray(text) : Buffer.from(text);
}

function binaryArray(text: string): Buffer {
  const head = Buffer.alloc(24);
  head.writeInt32BE(1, 0);
  head.writeInt32BE(25, 8);
  head.writeInt32BE(1, 12);
  head.writeInt32BE(1, 16);
  head.writeInt32BE(Buffer.byteLength(text), 20);
  return Buffer.concat([head, Buffer.from(text)]);
}
