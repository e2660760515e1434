import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { ByteQueue } from '#session/byte-queue.ts';
import { createCellRules } from '#session/cell-redaction.ts';
import { createRedactor } from '#session/redaction.ts';
import { CopyRedaction, loadRedaction } from '#session/result-redaction.ts';
import { decodeDataRow } from '#wire/decode.ts';
import { encodeCopyData, encodeDataRow } from '#wire/encode.ts';

/** What redaction of whole runs gives is what redaction of each cell alone gives, without any prescan. */

const STRIDED = ['EmailAddress', 'CreditCard', 'UsSsn', 'Jwt', 'AwsAccessKey', 'PrivateKey'];
const ALL = [...STRIDED, 'Iban', 'PhoneNumber', 'IpAddress'];
const JWT = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${Buffer.from('{"sub":"a"}').toString('base64url')}.c2ln`;
const FINDINGS = [
  'jane@example.com',
  'a@b.co',
  '4222222222222',
  '4111 1111 1111 1111',
  '4111111111111111',
  '630400000000',
  '536-22-8726',
  'DE89 3704 0044 0532 0130 00',
  '+1 202-456-1111',
  '192.168.1.20',
  'fe80::1',
  JWT,
  'AKIAIOSFODNN7EXAMPLE',
  '-----BEGIN PRIVATE KEY-----',
];
const SIGNS = [
  '0',
  '1',
  '5',
  '4111',
  ' ',
  '-',
  '.',
  ':',
  '@',
  '\\',
  '"',
  ',',
  '\n',
  '\t',
  'a',
  'eyJ',
  'AKIA',
  '\u00e4',
  '\\N',
];
const noise = fc.array(fc.constantFrom(...SIGNS), { maxLength: 16 }).map((signs) => signs.join(''));
const cell = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('person number 123456', '100000300000', 'a note', '') },
  { weight: 2, arbitrary: noise },
  { weight: 2, arbitrary: fc.tuple(noise, fc.constantFrom(...FINDINGS), noise).map((parts) => parts.join('')) },
);
const table = fc.array(fc.array(fc.option(cell, { nil: undefined }), { minLength: 3, maxLength: 3 }), { maxLength: 8 });
const policy = fc
  .oneof(fc.subarray(STRIDED, { minLength: 1 }), fc.subarray(ALL, { minLength: 1 }), fc.constant(ALL))
  .map((detectors) => ({ detectors, patterns: [], maxRowBytes: 1_000_000 }));

/** As the connection reads: one buffer for all reads, overwritten by the next. */
const reused = Buffer.alloc(65_536);

function throughReused(
  messages: Buffer,
  offset: number,
  act: (start: number, end: number, out: ByteQueue) => void,
): Buffer {
  messages.copy(reused, offset);
  const out = new ByteQueue();
  act(offset, offset + messages.length, out);
  const given = Buffer.concat(out.take());
  reused.fill(0x20, offset, offset + messages.length);
  return given;
}

const FIELDS = [
  { name: 'id', typeOid: 20, format: 0 },
  { name: 'note', typeOid: 25, format: 0 },
  { name: 'other', typeOid: 99_999, format: 0 },
];

beforeAll(loadRedaction);

describe('a run of rows', () => {
  test('has each cell redacted as it would be alone, in a buffer that is used again and again', () => {
    fc.assert(
      fc.property(policy, table, table, fc.nat(40), (redaction, ...[first, second, offset]) => {
        const redactor = createRedactor(redaction, FIELDS);
        const { redactCell } = createCellRules(redaction);
        for (const rows of [first, second]) {
          const messages = rows.map((cells) => encodeDataRow(cells.map(bytesOf)));
          const given = throughReused(Buffer.concat(messages), offset, (start, end, out) =>
            redactor.redactRun(reused, start, end, out),
          );
          const expected = rows.map((cells) =>
            encodeDataRow(
              cells.map((text, index) => {
                const bytes = bytesOf(text);
                return bytes === undefined ? undefined : redactCell(bytes, FIELDS[index]?.typeOid ?? 0, false);
              }),
            ),
          );
          expect(given.toString('latin1')).toBe(Buffer.concat(expected).toString('latin1'));
        }
      }),
      { numRuns: 800 },
    );
  });

  test('without a finding goes on as the range of the buffer it came in', () => {
    const row = encodeDataRow([Buffer.from('4111111111111111'), Buffer.from('note 12'), Buffer.from('x')]);
    const chunk = Buffer.concat([row, row, row]);
    const out = new ByteQueue();
    createRedactor({ detectors: ALL, patterns: [] }, FIELDS).redactRun(chunk, 0, chunk.length, out);
    const [segment, ...others] = out.take();
    expect(others).toEqual([]);
    expect(segment?.buffer).toBe(chunk.buffer);
    expect(decodeDataRow(chunk, 0, row.length)[1]?.toString()).toBe('note 12');
  });

  test.each([
    ['a row does not fit its description', encodeDataRow([Buffer.from('x')])],
    [
      'message ends inside a field',
      encodeDataRow([Buffer.from('1'), Buffer.from('x'), Buffer.from('y')]).fill(0x7f, 12, 13),
    ],
  ])('ends with %j where the database breaks the protocol', (message, bytes) => {
    const redactor = createRedactor({ detectors: ALL, patterns: [] }, FIELDS);
    expect(() => redactor.redactRun(bytes, 0, bytes.length, new ByteQueue())).toThrow(message);
  });
});

function bytesOf(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text);
}

type Redact = (cell: Buffer) => Buffer | undefined;
const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r' };
const escapeText = (text: string): string => text.replace(/[\\\n\t\r]/g, (sign) => ESCAPED[sign] ?? sign);
const quoteCsv = (text: string): string => `"${text.replaceAll('"', '""')}"`;

function textRow(cells: readonly (string | undefined)[], redact: Redact): Buffer {
  const written = cells.map((text) =>
    text === undefined ? '\\N' : escapeText(redact(Buffer.from(text))?.toString() ?? ''),
  );
  return Buffer.from(`${written.join('\t')}\n`);
}

/** A changed cell is always quoted, an unchanged one where it must be. */
function csvRow(cells: readonly (string | undefined)[], redact: Redact): Buffer {
  const written = cells.map((text) => {
    if (text === undefined) return '';
    const redacted = redact(Buffer.from(text))?.toString() ?? '';
    return redacted !== text || text === '' || /[",\n]/.test(text) ? quoteCsv(redacted) : text;
  });
  return Buffer.from(`${written.join(',')}\n`);
}

function binaryRow(cells: readonly (string | undefined)[], redact: Redact): Buffer {
  const row = encodeDataRow(cells.map((text) => (text === undefined ? undefined : redact(Buffer.from(text)))));
  return row.subarray(5);
}

const SIGNATURE = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const TRAILER = Buffer.from([0xff, 0xff]);

describe('a run of COPY data', () => {
  test.each([
    ['text', 'COPY t TO STDOUT', textRow],
    ['csv', 'COPY t TO STDOUT (FORMAT csv)', csvRow],
    ['binary', 'COPY t TO STDOUT (FORMAT binary)', binaryRow],
  ] as const)(
    'in format %s has each cell redacted as it would be alone, however messages and reads cut it',
    (format, text, encode) => {
      const isBinary = format === 'binary';
      fc.assert(
        fc.property(
          policy,
          table,
          fc.array(fc.nat(2_000), { maxLength: 4 }),
          fc.boolean(),
          (redaction, rows, cuts, byRows) => {
            const { redactCell } = createCellRules(redaction);
            const framed = (redact: Redact): readonly Buffer[] => {
              const encoded = rows.map((cells) => encode(cells, redact));
              return isBinary ? [SIGNATURE, ...encoded, TRAILER] : encoded;
            };
            const plain = framed((bytes) => bytes);
            const messages = (byRows ? plain : cutAt(Buffer.concat(plain), cuts)).map(encodeCopyData);
            const copy = new CopyRedaction(redaction, isBinary, text);
            const half = Math.floor(messages.length / 2);
            const given = [messages.slice(0, half), messages.slice(half)].map((run) =>
              throughReused(Buffer.concat(run), 7, (start, end, out) => copy.pushRun(reused, start, end, out)),
            );
            const rest = copy.end();
            const payload = payloadOf(Buffer.concat([...given, ...(rest === undefined ? [] : [rest])]));
            const expected = Buffer.concat(framed((bytes) => redactCell(bytes, 0, isBinary)));
            expect(payload.toString('latin1')).toBe(expected.toString('latin1'));
          },
        ),
        { numRuns: 500 },
      );
    },
  );
});

function cutAt(bytes: Buffer, cuts: readonly number[]): readonly Buffer[] {
  const bounds = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
  return bounds.slice(1).map((end, index) => bytes.subarray(bounds[index], end));
}

function payloadOf(messages: Buffer): Buffer {
  const payloads: Buffer[] = [];
  for (let position = 0; position < messages.length; ) {
    const end = position + 1 + messages.readInt32BE(position + 1);
    payloads.push(messages.subarray(position + 5, end));
    position = end;
  }
  return Buffer.concat(payloads);
}
