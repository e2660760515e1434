import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { canonicalJson } from '#audit/canonical-json.ts';
import type { AuditEvent } from '#audit/event.ts';
import { openFileSink } from '#audit/file-sink.ts';
import type { Finding } from '#audit/finding.ts';
import { LineScan } from '#audit/line-scan.ts';
import { ChainSet } from '#audit/verify.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-audit-'));
afterAll(() => rmSync(folder, { recursive: true }));

const session = {
  sessionUid: 's',
  actorUid: 'system:serviceaccount:a:b',
  groups: ['g'],
  hostname: 'h',
  port: 5432,
  database: 'd',
};
const edge = (reason: string): AuditEvent => ({
  phase: 'session',
  timeMs: 1_790_000_000_000,
  session: undefined,
  reason,
  sqlstate: '00000',
  policies: [],
  generation: 0,
});
const decision = (queryString: string): Extract<AuditEvent, { phase: 'decision' }> => ({
  phase: 'decision',
  timeMs: 1_790_000_000_001,
  session,
  statementUid: 'u',
  about: {
    command: 'SELECT',
    disposition: 'Masked',
    policies: ['data/p'],
    generation: 1,
    reason: '',
    relations: ['public.t'],
    masked: [],
    rowFilters: [],
    rewritten: true,
  },
  queryString,
  sqlstate: '00000',
  parameters: ['é', null],
});

async function written(name: string, events: readonly AuditEvent[]): Promise<string> {
  const path = join(folder, name);
  const sink = await openFileSink(path);
  for (const event of events) expect(sink.append([event])).toBe(true);
  await sink.close();
  return path;
}

function verify(bytes: Buffer): readonly Finding[] {
  const scan = new LineScan('f');
  scan.add(bytes);
  const chains = new ChainSet({ isRepeatFinding: true });
  chains.add(scan.finish(), 'f');
  return chains.finish(false).findings;
}

const EVENTS = [
  edge('process_start'),
  ...Array.from({ length: 6 }, (_, index) => decision(`SELECT ${index}, 'é'`)),
  edge('process_end'),
];

describe('the audit chain', () => {
  test('every line is canonical, whatever the text holds', async () => {
    const path = await written('canonical', [
      decision('\ud800 "\\\n\u2028'),
      { phase: 'heartbeat', timeMs: 1, sessions: 2 },
      { phase: 'gap', timeMs: 1, reason: 'resumed', lost: 3, after: { chain: 'c', seq: 7 } },
      { phase: 'gap', timeMs: 1, reason: 'torn_line' },
      ...EVENTS,
    ]);
    for (const line of readFileSync(path, 'utf8').trimEnd().split('\n'))
      expect(canonicalJson(JSON.parse(line))).toBe(line);
  });

  test('passwords and tokens do not reach a record', async () => {
    const path = await written('secrets', [
      decision("ALTER ROLE r PASSWORD 'hunter2'"),
      decision('ALTER ROLE r PASSWORD $x$hunter2$x$'),
      decision("SELECT E'\\'', 'hunter2' AS password"),
      decision("SELECT 'postgres://u:hunter2@h/d'"),
      decision("SELECT 'eyJhbGciOiJIUzI1NiJ9.hunter2xx.hunter2'"),
    ]);
    expect(readFileSync(path, 'utf8')).not.toContain('hunter2');
  });

  test('each record of a statement holds the text that came, as often as it comes and whatever came before', async () => {
    const first = decision('');
    const secret = "SELECT 'hunter2' AS password";
    const long = `SELECT '${'ü'.repeat(2_000)}'`;
    const texts = [
      'SELECT 1',
      'SELECT 1',
      'SELECT 1',
      'SELECT 2',
      'SELECT 1',
      secret,
      secret,
      secret,
      long,
      long,
      long,
    ];
    const path = await written(
      'again',
      texts.map((queryString) => ({ ...first, queryString })),
    );
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    const redacted = "SELECT '[redacted]' AS password";
    expect(lines.map((line) => JSON.parse(line).query_info.query_string)).toEqual(
      texts.map((text) => (text === secret ? redacted : text)),
    );
    for (const line of lines) expect(canonicalJson(JSON.parse(line))).toBe(line);
  });

  test('every flipped bit, dropped, swapped or repeated line is found', async () => {
    const bytes = readFileSync(await written('tampered', EVENTS));
    expect(verify(bytes)).toEqual([]);
    const lines = bytes.toString('latin1').trimEnd().split('\n');
    const join = (changed: readonly string[]): Buffer => Buffer.from(`${changed.join('\n')}\n`, 'latin1');
    for (const index of lines.keys()) {
      expect(verify(join(lines.toSpliced(index, 1))), `drop ${index}`).not.toEqual([]);
      expect(verify(join(lines.toSpliced(index, 0, lines[index] ?? ''))), `repeat ${index}`).not.toEqual([]);
      expect(verify(join(lines.toSpliced(index, 0, '{"a":1}'))), `insert ${index}`).not.toEqual([]);
      const other = (index + 1) % lines.length;
      expect(
        verify(join(lines.with(index, lines[other] ?? '').with(other, lines[index] ?? ''))),
        `swap ${index}`,
      ).not.toEqual([]);
    }
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
        expect(verify(flipped)).not.toEqual([]);
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (end) => {
        if (end > 0) expect(verify(bytes.subarray(0, end))).not.toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('a full disk refuses, a deleted file is made anew and names the loss', async () => {
    const full = await openFileSink('/dev/full');
    expect([full.append([edge('process_start')]), full.writable]).toEqual([false, false]);
    await full.close();
    const path = await written('gone', []);
    const sink = await openFileSink(path);
    sink.append([edge('process_start')]);
    rmSync(path);
    await sleep(25);
    expect(sink.append([edge('process_end')])).toBe(true);
    await sink.close();
    expect(verify(readFileSync(path)).map(({ kind }) => kind)).toContain('missing');
  });

  test('a torn last line of a crash is named, and what follows is whole', async () => {
    const path = join(folder, 'torn');
    writeFileSync(path, '');
    appendFileSync(path, '{"action_id":1,"act');
    await written('torn', EVENTS);
    expect(verify(readFileSync(path)).map(({ kind, line }) => [kind, line])).toEqual([['cut_off', 1]]);
  });

  test('a killed process leaves whole lines and an unclosed chain', async () => {
    const path = join(folder, 'killed');
    const script = `const { openFileSink } = await import(${JSON.stringify(new URL('../../../audit/file-sink.ts', import.meta.url).href)});
      const sink = await openFileSink(${JSON.stringify(path)});
      for (let n = 0; ; n++) { sink.append([{ phase: 'heartbeat', timeMs: 1, sessions: n }]); if (n === 200) process.stdout.write('go'); }`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(verify(readFileSync(path)).map(({ kind }) => kind)).toEqual(['unclosed']);
  });
});
