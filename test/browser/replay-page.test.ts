import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { printPage } from '#replay/page.ts';
import { buildTimeline } from '#replay/timeline.ts';
import { chainLines, edge, sessionOf, START_MS, statement } from '#test/record-folder.ts';

const ID = '01998877-1111-7abc-8def-001122334455';
const HOSTILE = '</pre></script><script>window.taken = 1</script><img src=x onerror="window.taken = 2">';

const folder = mkdtempSync(join(tmpdir(), 'postern-browser-'));
const file = join(folder, 'session.html');
let browser: Browser;
let page: Page;
/** What the browser complained of, and what it wanted to load. */
let complaints: string[];
let requests: string[];

beforeAll(async () => {
  const session = sessionOf(ID);
  const lines = await chainLines([
    edge('session_start', START_MS, session),
    ...statement(session, 'u1', HOSTILE, START_MS + 1_000),
    ...statement(session, 'u2', 'SELECT salary FROM employees', START_MS + 2_000, 'Denied'),
    edge('session_end', START_MS + 3_000, session),
  ]);
  const results = [
    { session: ID, statement: 'u1', part: 1, columns: ['id', '<b>bold'], rows: [['1', HOSTILE]], time: START_MS },
  ];
  const records = lines.map((line): unknown => JSON.parse(line.toString()));
  const timeline = buildTimeline(ID, records, results);
  if (timeline === undefined) throw new Error('there is a timeline');
  writeFileSync(file, printPage(timeline));
  browser = await chromium.launch({
    executablePath: process.env['POSTERN_BROWSER'] ?? 'chromium',
    // As root, in a container, the browser's own sandbox cannot be made.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
});

afterAll(async () => {
  await browser.close();
  rmSync(folder, { recursive: true });
});

beforeEach(async () => {
  page = await browser.newPage();
  complaints = [];
  requests = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(file).href);
});

afterEach(async () => {
  expect(complaints).toEqual([]);
  expect(requests).toEqual([pathToFileURL(file).href]);
  await page.close();
});

const visible = async (): Promise<readonly string[]> =>
  (await page.locator('section:visible').allInnerTexts()).map((text) => text.split('\n')[0] ?? '');
const position = async (): Promise<string> => page.locator('#position').innerText();

const STEPS = [
  '+00:00.000 session start',
  '+00:01.000 Masked SELECT',
  '+00:02.000 Denied SELECT',
  '+00:03.000 session end',
];

describe('the page of a session', () => {
  test('begins with its first step, and is stepped through by keys', async () => {
    expect([await visible(), await position()]).toEqual([STEPS.slice(0, 1), '1 / 4']);
    for (const [key, count] of [
      ['ArrowRight', 2],
      ['j', 3],
      ['ArrowLeft', 2],
      ['End', 4],
      ['ArrowRight', 4],
      ['Home', 1],
      ['k', 1],
    ] as const) {
      await page.keyboard.press(key);
      expect([key, (await visible()).length, await position()]).toEqual([key, count, `${count} / 4`]);
    }
  });

  test('is stepped through by buttons, which a person finds by their names', async () => {
    await page.getByRole('button', { name: 'Last' }).click();
    expect(await visible()).toEqual(STEPS);
    await page.getByRole('button', { name: 'Previous' }).click();
    await page.getByRole('button', { name: 'Previous' }).click();
    expect(await visible()).toEqual(STEPS.slice(0, 2));
    expect(await page.locator('section.current').innerText()).toContain('Masked');
  });

  test('plays by itself, faster when asked to, and stops at the end', async () => {
    await page.getByLabel('speed').selectOption('100');
    await page.getByRole('button', { name: 'Play' }).click();
    await page.getByText('4 / 4').waitFor({ timeout: 10_000 });
    await page.getByRole('button', { name: 'Play' }).waitFor();
    expect(await visible()).toEqual(STEPS);
  });

  test('can be halted while it plays', async () => {
    await page.getByRole('button', { name: 'Play' }).click();
    await page.getByRole('button', { name: 'Pause' }).click();
    expect(await position()).toBe('1 / 4');
  });

  test('shows what was recorded as text: nothing of it runs, loads or becomes an element', async () => {
    await page.keyboard.press('End');
    expect(await page.locator('section pre').first().innerText()).toBe(HOSTILE);
    expect(await page.locator('td').last().innerText()).toBe(HOSTILE);
    expect(await page.locator('th').last().innerText()).toBe('<b>bold');
    expect(await page.locator('img, b').count()).toBe(0);
    expect(await page.evaluate('window.taken')).toBeUndefined();
  });

  test('fits a narrow window: the page itself does not scroll sideways', async () => {
    await page.setViewportSize({ width: 360, height: 640 });
    await page.keyboard.press('End');
    expect(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true);
  });

  test('lets no script in that is not its own', async () => {
    await page.evaluate(
      `{ const script = document.createElement('script'); script.textContent = 'window.taken = 3'; document.body.append(script) }`,
    );
    expect(await page.evaluate('window.taken')).toBeUndefined();
    expect(complaints.splice(0)).toEqual([expect.stringContaining('Content Security Policy')]);
  });
});
