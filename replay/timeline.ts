/** Records of one session, and its recorded results, → what happened, in order. Pure. */
import { SeenNumbers } from '#audit/seen-numbers.ts';

export interface ReplayResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** More was received than is kept. */
  readonly isTruncated: boolean;
}

/** What came of a statement; undefined in an entry: no record says. */
export interface Completion {
  readonly timeMs: number;
  readonly sqlstate: string;
  readonly rows: number;
  readonly bytes: number;
  readonly durationMs: number;
}

export type ReplayEntry =
  | {
      readonly kind: 'edge';
      readonly timeMs: number;
      /** session_start, session_end, session_refused. */
      readonly reason: string;
      readonly sqlstate: string;
    }
  | {
      readonly kind: 'statement';
      readonly timeMs: number;
      readonly uid: string;
      readonly query: string;
      readonly command: string;
      readonly disposition: string;
      readonly sqlstate: string;
      readonly reason: string;
      readonly policy: string;
      readonly relations: readonly string[];
      readonly masked: readonly string[];
      readonly rowFilters: readonly string[];
      readonly parameters: readonly (string | null)[];
      readonly completion: Completion | undefined;
      readonly result: ReplayResult | undefined;
    };

export interface Timeline {
  readonly session: string;
  readonly actor: string;
  readonly groups: readonly string[];
  readonly database: string;
  readonly host: string;
  readonly startMs: number;
  readonly endMs: number;
  /** The records hold the end of the session. */
  readonly isEnded: boolean;
  readonly entries: readonly ReplayEntry[];
}

/** One line of a list of sessions. */
export interface SessionSummary {
  readonly session: string;
  readonly actor: string;
  readonly database: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly statements: number;
  readonly denied: number;
}

/** A parsed record, or what may be one. */
type Json = Readonly<Record<string, unknown>>;

function member(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = (found as Json)[name];
  }
  return found;
}

function text(value: unknown, ...path: readonly string[]): string {
  const found = member(value, ...path);
  return typeof found === 'string' ? found : '';
}

function number(value: unknown, ...path: readonly string[]): number {
  const found = member(value, ...path);
  return typeof found === 'number' ? found : 0;
}

function texts(value: unknown, ...path: readonly string[]): readonly string[] {
  const found = member(value, ...path);
  return Array.isArray(found) ? found.map(String) : [];
}

export function sessionOf(record: unknown): string {
  return text(record, 'actor', 'session', 'uid');
}

/** Collects sessions from any records, in any order, each record counted once. */
export class SessionList {
  readonly #sessions = new Map<string, { -readonly [Key in keyof SessionSummary]: SessionSummary[Key] }>();
  readonly #seen = new Map<string, SeenNumbers>();

  add(record: unknown): void {
    const session = sessionOf(record);
    if (session === '' || !this.#isFirst(record)) return;
    const timeMs = number(record, 'time');
    let known = this.#sessions.get(session);
    if (known === undefined) {
      const [actor, database] = [text(record, 'actor', 'user', 'uid'), text(record, 'database', 'name')];
      known = { session, actor, database, startMs: timeMs, endMs: timeMs, statements: 0, denied: 0 };
      this.#sessions.set(session, known);
    }
    known.startMs = Math.min(known.startMs, timeMs);
    known.endMs = Math.max(known.endMs, timeMs);
    if (text(record, 'unmapped', 'phase') !== 'decision') return;
    known.statements += 1;
    if (text(record, 'disposition') === 'Denied') known.denied += 1;
  }

  #isFirst(record: unknown): boolean {
    const chain = text(record, 'unmapped', 'chain', 'id');
    const seen = this.#seen.get(chain) ?? new SeenNumbers();
    this.#seen.set(chain, seen);
    return seen.add(number(record, 'unmapped', 'chain', 'seq'));
  }

  /** By their start. */
  get sessions(): readonly SessionSummary[] {
    return [...this.#sessions.values()].toSorted((a, b) => a.startMs - b.startMs);
  }
}

/**
 * The timeline of one session. `records`: its parsed records, in any order, copies allowed; `results`: its parsed result lines, likewise.
 * Undefined: there is no record of it.
 */
export function buildTimeline(
  session: string,
  records: readonly unknown[],
  results: readonly unknown[],
): Timeline | undefined {
  const unique = new Map(
    records
      .filter((record) => sessionOf(record) === session)
      .map((record) => [text(record, 'metadata', 'uid'), record]),
  );
  const ordered = [...unique.values()].toSorted(byPlace);
  const [first] = ordered;
  if (first === undefined) return undefined;
  const completions = new Map<string, Completion[]>();
  for (const record of ordered) {
    if (text(record, 'unmapped', 'phase') !== 'completion') continue;
    const uid = text(record, 'query_info', 'uid');
    completions.set(uid, [...(completions.get(uid) ?? []), completionOf(record)]);
  }
  const resultsByStatement = groupResults(session, results);
  const entries = ordered.flatMap((record) => entryOf(record, completions, resultsByStatement));
  const times = ordered.map((record) => number(record, 'time'));
  return {
    session,
    actor: text(first, 'actor', 'user', 'uid'),
    groups: texts(first, 'actor', 'user', 'groups'),
    database: text(first, 'database', 'name'),
    host: `${text(first, 'dst_endpoint', 'hostname')}:${number(first, 'dst_endpoint', 'port')}`,
    startMs: times.reduce((least, time) => Math.min(least, time)),
    endMs: times.reduce((most, time) => Math.max(most, time)),
    isEnded: entries.some((entry) => entry.kind === 'edge' && entry.reason !== 'session_start'),
    entries,
  };
}

/** By the number in the chain: a session is in one chain. */
function byPlace(a: unknown, b: unknown): number {
  return number(a, 'unmapped', 'chain', 'seq') - number(b, 'unmapped', 'chain', 'seq');
}

function completionOf(record: unknown): Completion {
  return {
    timeMs: number(record, 'time'),
    sqlstate: text(record, 'status_code'),
    rows: number(record, 'unmapped', 'rows'),
    bytes: number(record, 'unmapped', 'bytes'),
    durationMs: number(record, 'unmapped', 'durationMs'),
  };
}

function entryOf(
  record: unknown,
  completions: Map<string, Completion[]>,
  results: ReadonlyMap<string, ReplayResult>,
): readonly ReplayEntry[] {
  const phase = text(record, 'unmapped', 'phase');
  const [timeMs, sqlstate] = [number(record, 'time'), text(record, 'status_code')];
  if (phase === 'session') return [{ kind: 'edge', timeMs, reason: text(record, 'unmapped', 'reason'), sqlstate }];
  if (phase !== 'decision') return [];
  const uid = text(record, 'query_info', 'uid');
  const parameters = member(record, 'unmapped', 'parameters');
  return [
    {
      kind: 'statement',
      timeMs,
      uid,
      query: text(record, 'query_info', 'query_string'),
      command: text(record, 'unmapped', 'command'),
      disposition: text(record, 'disposition'),
      sqlstate,
      reason: text(record, 'unmapped', 'reason'),
      policy: text(record, 'policy', 'uid'),
      relations: texts(record, 'unmapped', 'relations'),
      masked: texts(record, 'unmapped', 'masked'),
      rowFilters: texts(record, 'unmapped', 'rowFilters'),
      parameters: Array.isArray(parameters) ? parameters.map(cell) : [],
      // A statement that is executed again has a decision and a completion each time.
      completion: completions.get(uid)?.shift(),
      result: results.get(uid),
    },
  ];
}

function cell(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function groupResults(session: string, lines: readonly unknown[]): ReadonlyMap<string, ReplayResult> {
  const parts = new Map<string, Map<number, unknown>>();
  for (const line of lines) {
    if (text(line, 'session') !== session) continue;
    const statement = text(line, 'statement');
    const known = parts.get(statement) ?? new Map<number, unknown>();
    parts.set(statement, known.set(number(line, 'part'), line));
  }
  const results = new Map<string, ReplayResult>();
  for (const [statement, byNumber] of parts) {
    const ordered = [...byNumber.entries()].toSorted(([a], [b]) => a - b).map(([, line]) => line);
    results.set(statement, {
      columns: texts(
        ordered.find((line) => member(line, 'columns') !== undefined),
        'columns',
      ),
      rows: ordered.flatMap((line) => {
        const rows = member(line, 'rows');
        return Array.isArray(rows) ? rows.map((row) => (Array.isArray(row) ? row.map(cell) : [])) : [];
      }),
      isTruncated: ordered.some((line) => member(line, 'truncated') === true),
    });
  }
  return results;
}
