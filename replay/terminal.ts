/** Entries of a timeline as lines of text. Pure; everything recorded passes through `printable`. */
import { printable, shortened } from './printable.ts';
import type { ReplayEntry, ReplayResult, SessionSummary, Timeline } from './timeline.ts';

export interface TerminalStyle {
  readonly hasColours: boolean;
  /** Columns. */
  readonly width: number;
}

const MAX_ROWS = 20;
const MAX_CELL = 40;
const COLOURS: Readonly<Record<string, number>> = {
  Allowed: 32,
  Approved: 32,
  Masked: 33,
  ApprovalRequired: 35,
  Denied: 31,
};

function coloured(text: string, code: number | undefined, { hasColours }: TerminalStyle): string {
  return hasColours && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text;
}

/** `+mm:ss.mmm` since the start of the session. */
export function clock(timeMs: number, startMs: number): string {
  const since = Math.max(0, timeMs - startMs);
  const [minutes, seconds] = [Math.floor(since / 60_000), Math.floor((since % 60_000) / 1_000)];
  return `+${String(minutes).padStart(2, '0')}:${String(seconds).padStart(2, '0')}.${String(since % 1_000).padStart(3, '0')}`;
}

export function headLines(timeline: Timeline): readonly string[] {
  const { actor, groups, database, host, session, startMs, entries, isEnded } = timeline;
  const statements = entries.filter(({ kind }) => kind === 'statement').length;
  const end = isEnded ? '' : ' (no record of its end)';
  return [
    `session ${printable(session)}${end}`,
    `${printable(actor)}${groups.length === 0 ? '' : ` [${printable(groups.join(', '))}]`} → ${printable(database)} at ${printable(host)}`,
    `${isoTime(startMs)}, ${statements} statements`,
    '',
  ];
}

export function entryLines(entry: ReplayEntry, startMs: number, style: TerminalStyle): readonly string[] {
  const at = clock(entry.timeMs, startMs);
  if (entry.kind === 'edge') {
    const status = entry.sqlstate === '00000' ? '' : ` (${printable(entry.sqlstate)})`;
    return [`${at}  ${printable(entry.reason.replaceAll('_', ' '))}${status}`, ''];
  }
  const indent = ' '.repeat(at.length + 2);
  const verdict = coloured(printable(entry.disposition.toLowerCase()), COLOURS[entry.disposition], style);
  const notes = [
    entry.reason === ''
      ? ''
      : `why: ${printable(entry.reason)}${entry.sqlstate === '00000' ? '' : ` (${printable(entry.sqlstate)})`}`,
    entry.masked.length === 0 ? '' : `masked: ${printable(entry.masked.join(', '))}`,
    entry.rowFilters.length === 0 ? '' : `rows filtered: ${printable(entry.rowFilters.join(', '))}`,
    entry.policy === '' ? '' : `policy: ${printable(entry.policy)}`,
    entry.parameters.length === 0 ? '' : `parameters: ${entry.parameters.map(cellText).join(', ')}`,
    outcome(entry),
  ];
  return [
    `${at}  ${verdict}  ${printable(entry.query)}`,
    ...notes.filter((note) => note !== '').map((note) => indent + note),
    ...(entry.result === undefined
      ? []
      : resultLines(entry.result, style.width - indent.length).map((line) => indent + line)),
    '',
  ];
}

function outcome({ completion, disposition }: Extract<ReplayEntry, { kind: 'statement' }>): string {
  if (completion === undefined) return disposition === 'Denied' ? '' : 'no record of its completion';
  const { sqlstate, rows, bytes, durationMs } = completion;
  return `${printable(sqlstate)}: ${rows} rows, ${bytes} bytes, ${durationMs} ms`;
}

function cellText(value: string | null): string {
  return value === null ? 'NULL' : printable(value);
}

/** A table no wider than `width`. */
function resultLines({ columns, rows, isTruncated }: ReplayResult, width: number): readonly string[] {
  const shown = rows.slice(0, MAX_ROWS).map((row) => row.map((value) => shortened(cellText(value), MAX_CELL)));
  const table = [columns.map((name) => shortened(printable(name), MAX_CELL)), ...shown];
  const count = table.reduce((most, row) => Math.max(most, row.length), 0);
  const widths = Array.from({ length: count }, (_, index) =>
    Math.max(...table.map((row) => Array.from(row[index] ?? '').length)),
  );
  const lines = table.map((row) =>
    shortened(
      widths
        .map((wide, index) => pad(row[index] ?? '', wide))
        .join(' | ')
        .trimEnd(),
      Math.max(20, width),
    ),
  );
  const rest = rows.length - shown.length;
  const notes = [rest > 0 ? `… ${rest} more rows` : '', isTruncated ? '… more was received than was recorded' : ''];
  return [...lines, ...notes.filter((note) => note !== '')];
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - Array.from(text).length));
}

export function sessionLines(sessions: readonly SessionSummary[]): readonly string[] {
  return sessions.map(
    ({ session, actor, database, startMs, endMs, statements, denied }) =>
      `${printable(session)}  ${isoTime(startMs)}  ${((endMs - startMs) / 1_000).toFixed(1)} s  ${statements} statements, ${denied} denied  ${printable(actor)} → ${printable(database)}`,
  );
}

/** A record may hold any number as its time. */
export function isoTime(timeMs: number): string {
  const time = new Date(timeMs);
  return Number.isNaN(time.getTime()) ? String(timeMs) : time.toISOString();
}
