import fc from 'fast-check';
import { Parser } from 'pg-protocol/dist/parser.js';
import { describe, expect, test } from 'vitest';
import * as decode from '#wire/decode.ts';
import * as encode from '#wire/encode.ts';
import { Framer } from '#wire/framer.ts';
import { BACKEND, backendLengthLimit, frontendLengthLimit, LARGE_MESSAGE_LIMIT_BYTES } from '#wire/messages.ts';
import { encodeCancelRequest, encodeStartup, readStartupPacket } from '#wire/startup.ts';
import { decodeUtf8 } from '#wire/text.ts';
import { WireError } from '#wire/wire-error.ts';

const text = fc
  .string({ unit: 'grapheme', maxLength: 40 })
  .filter((value) => !value.includes('\0') && value.isWellFormed());
const int32 = fc.integer({ min: -0x80000000, max: 0x7fffffff });
const oid = fc.nat({ max: 0xffffffff });
const oids = fc.array(oid, { maxLength: 5 });
const formats = fc.array(fc.constantFrom(0, 1), { maxLength: 4 });
const cell = fc.option(
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  { nil: undefined },
);
const cells = fc.array(cell, { maxLength: 6 });
const field = fc.record({
  name: text,
  tableOid: oid,
  attnum: fc.integer({ min: -0x8000, max: 0x7fff }),
  typeOid: oid,
  typeSize: fc.integer({ min: -2, max: 0x7fff }),
  typmod: int32,
  format: fc.constantFrom(0, 1),
});
const fields = fc.array(field, { maxLength: 5 });
const range = (buffer: Buffer): [Buffer, number, number] => [buffer, 0, buffer.length];

/** Any message either side may send, as bytes. */
const message = fc.oneof(
  text.map(encode.encodeQuery),
  fc.tuple(text, text, oids).map(([name, sql, types]) => encode.encodeParse(name, sql, types)),
  fc
    .record({ portal: text, statement: text, parameterFormats: formats, parameters: cells, resultFormats: formats })
    .map(encode.encodeBind),
  cells.map(encode.encodeDataRow),
  fields.map(encode.encodeRowDescription),
  fc.constantFrom(encode.encodeSync(), encode.encodeNoData(), encode.encodeCopyDone()),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => encode.encodeCopyData(Buffer.from(bytes))),
);

/** Cuts a stream at the given places. */
function split(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
  return [...places, stream.length].map((end, index) => Buffer.from(stream.subarray(places[index - 1] ?? 0, end)));
}

/** What a framer makes of the chunks; each chunk is overwritten after use, as a reused read buffer is. */
function frames(chunks: readonly Buffer[], mayStream: (tag: number) => boolean): string[] {
  const framer = new Framer({ lengthLimit: () => LARGE_MESSAGE_LIMIT_BYTES, mayStream });
  const seen: string[] = [];
  for (const chunk of chunks) {
    framer.push(chunk);
    while (framer.next()) {
      const bytes = framer.buffer.toString('hex', framer.start, framer.end);
      if (framer.isContinuation) seen.push((seen.pop() ?? '') + bytes);
      else seen.push(bytes);
    }
    chunk.fill(0xff);
  }
  return seen;
}

describe('framer', () => {
  test('any split of a stream gives the same messages, streamed or whole, and no byte is lost when chunks are reused', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        fc.boolean(),
        (parts, cuts, streams) => {
          const expected = parts.map((part) => part.toString('hex'));
          expect(frames(split(Buffer.concat(parts), cuts), () => streams)).toEqual(expected);
        },
      ),
    );
  });

  test('runs of rows and single messages, taken in turn, give the same bytes, and no run exceeds its limits', () => {
    const row = fc.oneof(cells.map(encode.encodeDataRow), message);
    const limits = fc.record({ messages: fc.nat(4), bytes: fc.nat(80) });
    fc.assert(
      fc.property(
        fc.array(row, { maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        limits,
        (parts, cuts, limit) => {
          const framer = new Framer({ lengthLimit: () => LARGE_MESSAGE_LIMIT_BYTES, mayStream: () => true });
          let seen = '';
          let messages = 0;
          for (const chunk of split(Buffer.concat(parts), cuts)) {
            framer.push(chunk);
            for (;;) {
              const count = framer.nextRun(BACKEND.dataRow, limit);
              expect(count).toBeLessThanOrEqual(limit.messages);
              if (count > 0) expect(framer.end - framer.start).toBeLessThanOrEqual(limit.bytes);
              if (count === 0 && !framer.next()) break;
              messages += count > 0 ? count : Number(!framer.isContinuation);
              seen += framer.buffer.toString('hex', framer.start, framer.end);
            }
            chunk.fill(0xff);
          }
          expect([messages, seen]).toEqual([parts.length, Buffer.concat(parts).toString('hex')]);
        },
      ),
    );
  });

  test('byte by byte gives the same messages', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), (parts) => {
        const stream = Buffer.concat(parts);
        const chunks = Array.from(stream, (byte) => Buffer.from([byte]));
        expect(frames(chunks, () => true)).toEqual(parts.map((part) => part.toString('hex')));
      }),
    );
  });

  test.each([
    ['client', frontendLengthLimit],
    ['server', backendLengthLimit],
  ])('arbitrary bytes of a %s give messages or WireError, and no more is kept than was sent', (_, lengthLimit) => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 }), (chunks) => {
        const framer = new Framer({ lengthLimit, mayStream: (tag) => tag === BACKEND.copyData });
        let sent = 0;
        try {
          for (const chunk of chunks) {
            sent += chunk.length;
            framer.push(Buffer.from(chunk));
            while (framer.next()) expect(framer.end).toBeLessThanOrEqual(framer.buffer.length);
            expect(framer.pendingBytes).toBeLessThanOrEqual(sent);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });

  test('a length of 1 GB is refused before anything is buffered', () => {
    const framer = new Framer({ lengthLimit: frontendLengthLimit, mayStream: () => false });
    framer.push(Buffer.from([0x51, 0x3f, 0xff, 0xff, 0xff]));
    expect(() => framer.next()).toThrow(new WireError('message too long'));
    expect(framer.pendingBytes).toBeLessThan(10);
  });
});

describe('decode after encode is the identity', () => {
  test('Parse, Bind, Describe, Execute', () => {
    fc.assert(
      fc.property(text, text, oids, (name, sql, types) => {
        const bytes = encode.encodeParse(name, sql, types);
        const parse = decode.decodeParse(...range(bytes));
        expect([
          parse.statement,
          bytes.toString('utf8', parse.textStart, parse.textEnd),
          parse.parameterTypeOids,
        ]).toEqual([name, sql, types]);
      }),
    );
    fc.assert(
      fc.property(
        fc.record({
          portal: text,
          statement: text,
          parameterFormats: formats,
          parameters: cells,
          resultFormats: formats,
        }),
        (bind) => {
          expect(decode.decodeBind(...range(encode.encodeBind(bind)))).toMatchObject(bind);
        },
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom('statement' as const, 'portal' as const), text, (target, name) => {
        expect(decode.decodeTarget(...range(encode.encodeDescribe(target, name)))).toEqual({ target, name });
        expect(decode.decodeTarget(...range(encode.encodeClose(target, name)))).toEqual({ target, name });
      }),
    );
    fc.assert(
      fc.property(text, int32, (portal, maxRows) => {
        expect(decode.decodeExecute(...range(encode.encodeExecute(portal, maxRows)))).toEqual({ portal, maxRows });
      }),
    );
  });

  test('RowDescription, DataRow, ParameterStatus, errors, keys, start-up', () => {
    fc.assert(
      fc.property(fields, cells, (columns, values) => {
        expect(decode.decodeRowDescription(...range(encode.encodeRowDescription(columns)))).toEqual(columns);
        expect(decode.decodeDataRow(...range(encode.encodeDataRow(values)))).toEqual(values);
      }),
    );
    fc.assert(
      fc.property(text, text, (name, value) => {
        expect(decode.decodeParameterStatus(...range(encode.encodeParameterStatus(name, value)))).toEqual({
          name,
          value,
        });
        const errors = new Map([
          ['C', name],
          ['M', value],
        ]);
        expect(decode.decodeErrorFields(...range(encode.encodeErrorFields('error', errors)))).toEqual(errors);
      }),
    );
    fc.assert(
      fc.property(int32, fc.uint8Array({ minLength: 4, maxLength: 256 }), (processId, bytes) => {
        const secret = Buffer.from(bytes);
        expect(decode.decodeBackendKeyData(...range(encode.encodeBackendKeyData(processId, secret)))).toEqual({
          processId,
          secret,
        });
        expect(readStartupPacket(encodeCancelRequest(processId, secret))?.packet).toEqual({
          kind: 'cancel',
          processId,
          secret,
        });
      }),
    );
    fc.assert(
      fc.property(
        fc.dictionary(
          text.filter((name) => name !== '' && !name.startsWith('_pq_.')),
          text,
          { maxKeys: 5 },
        ),
        (dictionary) => {
          const parameters = new Map(Object.entries(dictionary));
          const packet = readStartupPacket(encodeStartup(2, parameters))?.packet;
          expect(packet).toEqual({ kind: 'startup', minorVersion: 2, parameters, protocolOptions: [] });
        },
      ),
    );
  });
});

describe('arbitrary bodies', () => {
  test('every decoder gives a value or WireError', () => {
    const decoders = [
      decode.decodeQuery,
      decode.decodeParse,
      decode.decodeBind,
      decode.decodeTarget,
      decode.decodeExecute,
      decode.decodeString,
      decode.decodeRowDescription,
      decode.decodeDataRow,
      decode.decodeParameterStatus,
      decode.decodeErrorFields,
      decode.decodeBackendKeyData,
      decode.decodeNegotiateProtocolVersion,
      decode.decodeCopyResponse,
      decode.decodeParameterDescription,
      decode.decodeReadyForQuery,
    ];
    fc.assert(
      fc.property(fc.constantFrom(...decoders), fc.uint8Array({ maxLength: 80 }), (decoder, body) => {
        const bytes = Buffer.concat([Buffer.from([0, 0, 0, 0, 0]), Buffer.from(body)]);
        try {
          decoder(bytes, 0, bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('UTF-8 is read as strictly as by a fatal TextDecoder', () => {
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        let expected: string | undefined;
        try {
          expected = strict.decode(bytes);
        } catch {
          expected = undefined;
        }
        expect(decodeUtf8(Buffer.from(bytes), 0, bytes.length)).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('pg-protocol as oracle', () => {
  function oracle(bytes: Buffer): unknown[] {
    const seen: unknown[] = [];
    new Parser().parse(bytes, (item) => seen.push(item));
    return seen;
  }

  test('it reads what is written here: rows, descriptions, tags, errors', () => {
    fc.assert(
      fc.property(
        fields,
        fc.array(fc.option(text, { nil: undefined }), { maxLength: 5 }),
        text,
        (columns, values, tag) => {
          const row = encode.encodeDataRow(
            values.map((value) => (value === undefined ? undefined : Buffer.from(value))),
          );
          const [description, dataRow, complete, ready] = oracle(
            Buffer.concat([
              encode.encodeRowDescription(columns),
              row,
              encode.encodeCommandComplete(tag),
              encode.encodeReadyForQuery(0x54),
            ]),
          );
          expect(description).toMatchObject({
            fieldCount: columns.length,
            fields: columns.map(({ name }) => ({ name })),
          });
          expect(dataRow).toMatchObject({ fields: values.map((value) => value ?? null) });
          expect(complete).toMatchObject({ text: tag });
          expect(ready).toMatchObject({ status: 'T' });
        },
      ),
    );
  });
});
