import { hash } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { SeenNumbers } from '#audit/seen-numbers.ts';
import { runReplay } from '#cli/replay.ts';
import { escapeHtml, printPage } from '#replay/page.ts';
import { printable } from '#replay/printable.ts';
import { entryLines, headLines } from '#replay/terminal.ts';
import { buildTimeline, SessionList, type Timeline } from '#replay/timeline.ts';
import { chainLines, edge, RecordFolder, sessionOf, START_MS, statement } from '#test/record-folder.ts';

const ID = '01998877-1111-7abc-8def-001122334455';
const HOSTILE = "SELECT '\u001b]0;x\u0007\u202e</script><img src=x onerror=alert(1)>' -- \r\n\u009b31m";
const session = sessionOf(ID);
let lines: readonly Buffer[];
let timeline: Timeline;
const results = [
  { session: ID, statement: 'u1', part: 2, rows: [['2', null]], truncated: true, time: START_MS },
  { session: ID, statement: 'u1', part: 1, columns: ['id', '<b>'], rows: [['1', '\u001b[2J&"\'']], time: START_MS },
  { session: 'another', statement: 'u1', part: 3, rows: [['not this']], time: START_MS },
];

beforeAll(async () => {
  lines = await chainLines([
    edge('process_start', START_MS),
    edge('session_start', START_MS + 1, session),
    ...statement(session, 'u1', HOSTILE, START_MS + 61_002),
    ...statement(sessionOf('another'), 'o1', 'SELECT other', START_MS + 61_003),
    ...statement(session, 'u2', 'SELECT salary FROM employees', START_MS + 61_004, 'Denied'),
    edge('session_end', START_MS + 62_000, session),
  ]);
  const records = lines.map((line): unknown => JSON.parse(line.toString()));
  // In any order, with copies.
  const built = buildTimeline(ID, [...records.toReversed(), ...records], [...results, ...results]);
  if (built === undefined) throw new Error('there is a timeline');
  timeline = built;
});

/** Any code units, lone surrogates among them. */
const anyText = fc
  .array(fc.oneof(fc.nat(0x2_ff), fc.integer({ min: 0x20_00, max: 0x20_7f }), fc.nat(0xff_ff)), { maxLength: 40 })
  .map((units) => String.fromCharCode(...units));

const ARROW = '→';

describe('a session in the terminal', () => {
  test('is what happened, in its order, with decisions, results and their reasons', () => {
    const style = { hasColours: false, width: 120 };
    const text = timeline.entries.flatMap((entry) => entryLines(entry, timeline.startMs, style)).join('\n');
    expect(headLines(timeline)).toEqual([
      `session ${ID}`,
      `system:serviceaccount:agents:support-bot [support] ${ARROW} shop at shop.data.svc:5432`,
      '2026-11-22T23:59:58.001Z, 2 statements',
      '',
    ]);
    expect(text.split('\n')).toEqual([
      '+00:00.000  session start',
      '',
      String.raw`+01:01.001  masked  SELECT '\u{1b}]0;x\u{7}\u{202e}</script><img src=x onerror=alert(1)>' -- \u{d}\n\u{9b}31m`,
      '            masked: public.customers.email',
      '            policy: data/support',
      '            00000: 2 rows, 64 bytes, 3.5 ms',
      '            id | <b>',
      String.raw`            1  | \u{1b}[2J&"'`,
      '            2  | NULL',
      '            … more was received than was recorded',
      '',
      '+01:01.003  denied  SELECT salary FROM employees',
      '            why: column salary is not granted (42501)',
      '            policy: data/support',
      '',
      '+01:01.999  session end',
      '',
    ]);
  });

  test('has colours only where they are asked for, and they end', () => {
    const [, first] = timeline.entries;
    if (first === undefined) throw new Error('there is a statement');
    expect(entryLines(first, timeline.startMs, { hasColours: true, width: 80 })[0]).toContain(
      '\u001b[33mmasked\u001b[0m',
    );
  });

  test('whatever is recorded, no control character is printed', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});

describe('a session as a page', () => {
  test('needs nothing else, and runs only its own script', () => {
    const page = printPage(timeline);
    const [, policy = ''] = /Content-Security-Policy" content="([^"]+)"/.exec(page) ?? [];
    const script = /<script>([\s\S]*?)<\/script>/.exec(page)?.[1] ?? '';
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)?.[1] ?? '';
    expect(policy).toBe(
      `default-src 'none'; script-src 'sha256-${hash('sha256', script, 'base64')}'; style-src 'sha256-${hash('sha256', style, 'base64')}'; base-uri 'none'; form-action 'none'`,
    );
    expect(page).not.toMatch(/https?:|\ssrc=["']|<link|@import|url\(|\sstyle=|\son\w+="/);
    expect(page.match(/<script/g)).toHaveLength(1);
    expect(page.match(/data-at=/g)).toHaveLength(4);
  });

  test('shows what was recorded as text', () => {
    const page = printPage(timeline);
    expect(page).not.toContain('<img');
    expect(page).toContain('&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;');
    expect(page).toContain(String.raw`<td>\u{1b}[2J&amp;&quot;&#39;</td>`);
    expect(page).toContain('<td class="null">NULL</td>');
    expect(page).toContain('column salary is not granted (42501)');
    fc.assert(
      fc.property(anyText, (text) => {
        expect(escapeHtml(text)).not.toMatch(/[<>"']|[^\P{Cc}\n\t]|[\u202a-\u202e]/u);
      }),
    );
  });
});

test('sessions are listed once, by their start, with what they did', () => {
  const list = new SessionList();
  for (const line of [...lines, ...lines]) list.add(JSON.parse(line.toString()));
  expect(list.sessions.map(({ session: uid, statements, denied }) => [uid, statements, denied])).toEqual([
    [ID, 2, 1],
    ['another', 1, 0],
  ]);
});

test('the command finds records and results in the objects of a bucket, and names a session that is not there', async () => {
  const folder = new RecordFolder();
  await folder.addRecords(lines.slice(4));
  await folder.addRecords(lines.slice(0, 5));
  await folder.addResults(
    ID,
    results.slice(0, 2).map((result) => ({ ...result, truncated: true as const })),
  );
  const html = join(mkdtempSync(join(tmpdir(), 'postern-page-')), 'page.html');
  expect(await runReplay(folder.path, { session: ID, speed: '1', html })).toBe(0);
  expect(readFileSync(html, 'utf8').match(/<tr>/g)).toHaveLength(3);
  expect(await runReplay(folder.path, { session: 'nobody', speed: '0' })).toBe(1);
  await expect(runReplay(folder.path, { session: ID, speed: 'fast' })).rejects.toThrow(
    '--speed: expected a number such as 1, 10 or 0 (at once), found "fast"',
  );
});

test('numbers are seen once, in whatever order they come', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 80 }), (numbers) => {
      const [seen, model] = [new SeenNumbers(), new Set<number>()];
      for (const number of numbers) {
        expect(seen.add(number)).toBe(!model.has(number));
        model.add(number);
      }
    }),
  );
});
