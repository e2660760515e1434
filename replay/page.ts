/**
 * A timeline as one HTML page that needs nothing else: no file, no network, no library. Everything recorded is text in it, escaped; what runs is
 * only the script of this program, which the page's own policy (CSP) names by its hash. Pure.
 */
import { hash } from 'node:crypto';
import { PAGE_SCRIPT, PAGE_STYLE } from './page-script.ts';
import { clock, isoTime } from './terminal.ts';
import type { ReplayEntry, ReplayResult, Timeline } from './timeline.ts';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for an element or a quoted attribute; signs that cannot be seen, or turn the direction of what follows, are shown as their code. */
export function escapeHtml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, (sign) => `\\u{${(sign.codePointAt(0) ?? 0).toString(16)}}`)
    .replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? '');
}

function source(text: string): string {
  return `'sha256-${hash('sha256', text, 'base64')}'`;
}

/** The whole page. */
export function printPage(timeline: Timeline): string {
  const { session, actor, groups, database, host, startMs, entries, isEnded } = timeline;
  const policy = `default-src 'none'; script-src ${source(PAGE_SCRIPT)}; style-src ${source(PAGE_STYLE)}; base-uri 'none'; form-action 'none'`;
  const facts: readonly Fact[] = [
    ['who', actor],
    ['groups', groups.join(', ')],
    ['database', `${database} at ${host}`],
    ['began', isoTime(startMs)],
    ['end', isEnded ? '' : 'no record of its end'],
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Session ${escapeHtml(session)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header><h1>Session ${escapeHtml(session)}</h1>${factList(facts)}</header>
<main>
${entries.map((entry) => printEntry(entry, startMs)).join('\n')}
</main>
<nav id="controls" aria-label="Steps" hidden>
<button id="first" title="Home">First</button> <button id="previous" title="Left arrow, k">Previous</button>
<button id="play" title="Space">Play</button> <button id="next" title="Right arrow, j">Next</button> <button id="last" title="End">Last</button>
<label>speed <select id="speed"><option>1</option><option>2</option><option>5</option><option>10</option><option>100</option></select></label>
<output id="position" aria-live="polite"></output>
</nav>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

type Fact = readonly [name: string, value: string];

function factList(facts: readonly Fact[]): string {
  const items = facts
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`);
  return items.length === 0 ? '' : `<dl>${items.join('')}</dl>`;
}

/** A class name from a record: one of those that the style knows. */
function classOf(disposition: string): string {
  return /^[A-Za-z]+$/.test(disposition) ? disposition : '';
}

function printEntry(entry: ReplayEntry, startMs: number): string {
  const at = `<time class="at">${clock(entry.timeMs, startMs)}</time>`;
  const data = `data-at="${Math.round(entry.timeMs)}"`;
  if (entry.kind === 'edge') {
    const status = entry.sqlstate === '00000' ? '' : ` (${entry.sqlstate})`;
    return `<section ${data}>${at} ${escapeHtml(entry.reason.replaceAll('_', ' ') + status)}</section>`;
  }
  const { completion, disposition } = entry;
  const facts: readonly Fact[] = [
    ['why', entry.reason === '' ? '' : `${entry.reason}${entry.sqlstate === '00000' ? '' : ` (${entry.sqlstate})`}`],
    ['tables', entry.relations.join(', ')],
    ['masked', entry.masked.join(', ')],
    ['rows filtered', entry.rowFilters.join(', ')],
    ['policy', entry.policy],
    ['parameters', entry.parameters.map((value) => value ?? 'NULL').join(', ')],
    ['outcome', outcome(completion, disposition)],
  ];
  return (
    `<section ${data} class="${classOf(disposition)}">${at} <span class="verdict">${escapeHtml(disposition)}</span> ${escapeHtml(entry.command)}` +
    `<pre>${escapeHtml(entry.query)}</pre>${factList(facts)}${entry.result === undefined ? '' : printResult(entry.result)}</section>`
  );
}

function outcome(completion: Extract<ReplayEntry, { kind: 'statement' }>['completion'], disposition: string): string {
  if (completion === undefined) return disposition === 'Denied' ? '' : 'no record of its completion';
  const { sqlstate, rows, bytes, durationMs } = completion;
  return `${sqlstate}: ${rows} rows, ${bytes} bytes, ${durationMs} ms`;
}

function printResult({ columns, rows, isTruncated }: ReplayResult): string {
  const head = columns.map((name) => `<th>${escapeHtml(name)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map(printCell).join('')}</tr>`).join('');
  const note = isTruncated ? '<p>More was received than was recorded.</p>' : '';
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>${note}`;
}

function printCell(value: string | null): string {
  return value === null ? '<td class="null">NULL</td>' : `<td>${escapeHtml(value)}</td>`;
}
