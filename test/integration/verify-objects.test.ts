/** `verify` on a folder laid out as the bucket, made by the collector's own writer: every tampering with its objects and digests is named. */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { openSource } from '#cli/record-source.ts';
import { type SourceVerdict, verifySource } from '#cli/verify.ts';
import { chainLines, edge, RecordFolder, sessionOf, START_MS, statement } from '#test/record-folder.ts';

const session = sessionOf('01998877-1111-7abc-8def-001122334455');
const folder = new RecordFolder();
const digestFiles = (path: string): readonly string[] =>
  readdirSync(join(path, 'digests'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();

beforeAll(async () => {
  const events = Array.from({ length: 12 }, (_, index) =>
    statement(session, `u${index}`, `SELECT ${index}`, START_MS + index),
  );
  const lines = await chainLines([
    edge('process_start', START_MS),
    ...events.flat(),
    edge('process_end', START_MS + 50),
  ]);
  await folder.addRecords(lines.slice(10, 20));
  await folder.addRecords(lines.slice(0, 10));
  await folder.sign();
  // Sent again from the middle of what lies there, and on.
  await folder.addRecords(lines.slice(5, 22));
  await folder.sign();
  await folder.addRecords(lines.slice(20));
  const about = { session: session.sessionUid, statement: 'u1', part: 1, time: START_MS };
  await folder.addResults(session.sessionUid, [{ ...about, columns: ['a'], rows: [['x']] }]);
  await folder.close();
});

async function verify(path: string): Promise<SourceVerdict> {
  return await verifySource(await openSource(path, {}), [folder.publicKey], false);
}

function copy(change: (path: string) => void): string {
  const path = mkdtempSync(join(tmpdir(), 'postern-tampered-'));
  cpSync(folder.path, path, { recursive: true });
  change(path);
  return path;
}

const object = (index: number): string => folder.keys.filter((key) => key.startsWith('events/'))[index] ?? '';
const edit = (path: string, change: (bytes: Buffer) => Uint8Array): void =>
  writeFileSync(path, change(readFileSync(path)));

describe('verify on the objects of a collector', () => {
  test('holds, with copies and in any order', async () => {
    const verdict = await verify(folder.path);
    expect(verdict.findings).toEqual([]);
    expect(verdict).toMatchObject({
      chains: 1,
      records: 43,
      digests: { digests: 3, objects: 5 },
    });
  });

  test.each<readonly [string, (path: string) => void, readonly (readonly [string, string])[]]>([
    [
      'a deleted object whose records lie elsewhere too',
      (path) => rmSync(join(path, object(0))),
      [['object_missing', 'the object is missing']],
    ],
    [
      'a deleted object',
      (path) => rmSync(join(path, object(1))),
      [
        ['missing', 'records 1 to 5 are missing'],
        ['object_missing', 'the object is missing'],
      ],
    ],
    [
      'an object packed anew with the same lines',
      (path) => edit(join(path, object(1)), (bytes) => zstdCompressSync(zstdDecompressSync(bytes))),
      [['object_replaced', 'the object is not the one that was written']],
    ],
    [
      'lines of an object in another order',
      (path) =>
        edit(join(path, object(1)), (bytes) =>
          zstdCompressSync(
            zstdDecompressSync(bytes).toString('latin1').trimEnd().split('\n').toReversed().join('\n').concat('\n'),
          ),
        ),
      [
        ['reordered', 'record 5 stands out of its order'],
        ['object_replaced', 'the object is not the one that was written'],
      ],
    ],
    [
      'a cut-off object',
      (path) => edit(join(path, object(3)), (bytes) => bytes.subarray(0, bytes.length - 9)),
      [
        ['cut_off', 'the object is damaged or cut off'],
        ['unclosed', 'the chain is unclosed after record 22'],
        ['object_replaced', 'the object is not the one that was written'],
      ],
    ],
    [
      'an object that somebody else put there',
      (path) => cpSync(join(path, object(0)), join(path, object(0).replace(/[0-9a-f]{12}\.nd/, '000000000000.nd'))),
      [['object_undigested', 'no digest names this object']],
    ],
    [
      'recorded results that were exchanged',
      (path) =>
        edit(join(path, folder.keys.find((key) => key.startsWith('results/')) ?? ''), () => zstdCompressSync('{}\n')),
      [['object_replaced', 'the object is not the one that was written']],
    ],
    [
      'a deleted first digest',
      (path) => rmSync(digestFiles(path)[0] ?? ''),
      [
        ['object_undigested', 'no digest names this object'],
        ['object_undigested', 'no digest names this object'],
        ['digest_missing', 'digest 1 is missing'],
      ],
    ],
    [
      'a deleted last digest',
      (path) => rmSync(digestFiles(path)[2] ?? ''),
      [
        ['object_undigested', 'no digest names this object'],
        ['object_undigested', 'no digest names this object'],
        ['digest_unclosed', 'are unclosed after number 2'],
      ],
    ],
    [
      'a digest without a signature',
      (path) => edit(digestFiles(path)[1] ?? '', (bytes) => Buffer.from(bytes.toString().replace(/[^.]*$/, ''))),
      [
        ['object_undigested', 'no digest names this object'],
        ['digest_unsigned', 'the digest is not signed'],
        ['digest_missing', 'digest 2 is missing'],
      ],
    ],
  ])('%s is named', async (_, change, expected) => {
    const { findings } = await verify(copy(change));
    const said = findings.map(({ kind, message }) => [kind, message] as const);
    expect(new Set(said.map(([kind]) => kind))).toEqual(new Set(expected.map(([kind]) => kind)));
    for (const [kind, text] of expected)
      expect(
        said.some(([found, message]) => found === kind && message.includes(text)),
        `${kind}: ${text}`,
      ).toBe(true);
  });

  test('a digest signed by another key is refused, and a digest of another form of the same signature', async () => {
    const verdict = await verifySource(await openSource(folder.path, {}), [new RecordFolder().publicKey], false);
    expect(verdict.findings.filter(({ kind }) => kind === 'digest_unsigned').map(({ message }) => message)).toEqual(
      Array.from({ length: 3 }, () => 'the digest is not signed by a key that was given'),
    );
  });

  test('every byte of an object counts', async () => {
    for (const at of [0, 3, 40, 200, -1]) {
      const path = copy((target) =>
        edit(join(target, object(2)), (bytes) => {
          const index = at < 0 ? bytes.length + at : at;
          return bytes.map((byte, position) => (position === index ? byte ^ 4 : byte));
        }),
      );
      expect(
        (await verify(path)).findings.map(({ kind }) => kind),
        String(at),
      ).toContain('object_replaced');
    }
  });
});

describe('postern verify', () => {
  const run = async (
    ...parts: readonly string[]
  ): Promise<{ readonly code: number; readonly out: string; readonly error: string }> =>
    await new Promise((resolve) => {
      const main = new URL('../../cli/main.ts', import.meta.url).pathname;
      execFile(process.execPath, [main, 'verify', ...parts], (error, out, errorText) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, error: errorText });
      });
    });

  test('says what it checked, and what it did not', async () => {
    expect(await run(folder.path, '--digest-key', folder.keyFile)).toEqual({
      code: 0,
      out: '3 digests name 5 objects\n43 records in 1 chains: all hold\n',
      error: '',
    });
  });

  test('takes a file of several keys, one behind the other', async () => {
    const both = join(mkdtempSync(join(tmpdir(), 'postern-keys-')), 'both.pem');
    writeFileSync(both, readFileSync(new RecordFolder().keyFile, 'utf8') + readFileSync(folder.keyFile, 'utf8'));
    expect(await run(folder.path, '--digest-key', both)).toMatchObject({ code: 0 });
    expect(await run(folder.path, '--digest-key', new RecordFolder().keyFile)).toMatchObject({ code: 1 });
  });

  test('does not pass over digests in silence', async () => {
    expect(await run(folder.path)).toEqual({
      code: 2,
      out: '',
      error:
        'postern: these are the objects of a collector, which its signed digests prove: give --digest-key PUBLIC.pem (openssl pkey -in digest-key.pem -pubout), or --without-digests to check the chains of records alone\n',
    });
    expect(await run(folder.path, '--without-digests')).toEqual({
      code: 0,
      out: 'digests were NOT checked: whoever can write to the bucket could have made these chains\n43 records in 1 chains: all hold\n',
      error: '',
    });
    // Also where none is left: they are the first thing that somebody removes.
    const bare = copy((path) => rmSync(join(path, 'digests'), { recursive: true }));
    expect((await run(bare)).code).toBe(2);
    expect(await run(folder.path, '--without-digests', '--digest-key', folder.keyFile)).toMatchObject({
      code: 2,
      error: 'postern: --without-digests and --digest-key exclude each other\n',
    });
  });

  test('exit codes: 1 for a finding, 2 for what cannot be read', async () => {
    const cut = copy((path) => rmSync(join(path, object(3))));
    const { code, out } = await run(cut, '--digest-key', folder.keyFile, '--json');
    expect([code, JSON.parse(out)]).toMatchObject([
      1,
      { findingCount: 2, findings: [{ kind: 'unclosed', seq: 22 }, {}] },
    ]);
    expect(await run(join(folder.path, 'nothing'))).toMatchObject({
      code: 2,
      error: expect.stringContaining('does not exist'),
    });
    expect(await run(folder.path, '--digest-key', 'nothing')).toMatchObject({
      code: 2,
      error: 'postern: --digest-key nothing is no public key in PEM\n',
    });
  });
});
