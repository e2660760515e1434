import type { TextPiece } from '#sql/analysis.ts';
import type { StatementPlan } from './decided-text.ts';

/**
 * What of the server's errors and notices reaches the agent. About governed relations: no DETAIL, no HINT, no context, and a message
 * only if it can hold no value that the agent did not write itself. Of a rewritten text: positions are mapped back into the agent's
 * own text, and internal positions and context never pass. Unknown messages become the generic text of their SQLSTATE.
 */
export interface ErrorContext {
  readonly plan: StatementPlan | undefined;
  /** The agent's own text, and the pieces the server read instead (absent: the same text). */
  readonly text: string;
  readonly pieces: readonly TextPiece[] | undefined;
}

/** Names of ours in messages begin with this; such a message never passes. */
const OWN_NAME = /postern/i;

export function cleanErrorFields(fields: ReadonlyMap<string, string>, context: ErrorContext): Map<string, string> {
  const { plan } = context;
  const cleaned = new Map<string, string>();
  const governed = plan?.governed === true;
  for (const [code, value] of fields) {
    if (!PASSING_FIELDS.has(code)) continue;
    if (governed && !GOVERNED_FIELDS.has(code) && !(plan.whole && code === 'n')) continue;
    if (plan?.rewritten === true && (code === 'H' || code === 'D') && OWN_NAME.test(value)) continue;
    cleaned.set(code, value);
  }
  cleaned.set('M', cleanMessage(fields.get('M') ?? '', fields.get('C') ?? 'XX000', context));
  const position = fields.get('P');
  if (position !== undefined) {
    const mapped = mapPosition(Number(position), context);
    if (mapped !== undefined) cleaned.set('P', String(mapped));
  }
  return cleaned;
}

/** Fields of errors outside governed statements. Never: p, q (internal query), W (context); P is set apart. */
const PASSING_FIELDS: ReadonlySet<string> = new Set([
  'S',
  'V',
  'C',
  'M',
  'D',
  'H',
  's',
  't',
  'c',
  'd',
  'n',
  'F',
  'L',
  'R',
]);
const GOVERNED_FIELDS: ReadonlySet<string> = new Set(['S', 'V', 'C', 'M', 'F', 'L', 'R']);

/** The notices that a governed statement may let through, by SQLSTATE: about names and transactions, never about data. */
const PASSING_NOTICES: ReadonlySet<string> = new Set(['25001', '25P01', '42P06', '42P07', '42701', '42710', '42622']);

/** The fields of a notice as they may pass; `undefined`: the notice is dropped. */
export function cleanNoticeFields(
  fields: ReadonlyMap<string, string>,
  context: ErrorContext,
): ReadonlyMap<string, string> | undefined {
  const message = fields.get('M') ?? '';
  if (context.plan?.governed === true) {
    if (!PASSING_NOTICES.has(fields.get('C') ?? '') || !quotesOnly(message, context.text)) return undefined;
  } else if (OWN_NAME.test(message)) return undefined;
  return cleanErrorFields(fields, context);
}

function cleanMessage(message: string, sqlstate: string, context: ErrorContext): string {
  const { plan, text } = context;
  if (plan === undefined) return OWN_NAME.test(message) ? genericMessage(sqlstate) : message;
  if (!plan.governed) {
    return plan.rewritten && OWN_NAME.test(message) && !OWN_NAME.test(text) ? genericMessage(sqlstate) : message;
  }
  if (OWN_NAME.test(message) && !OWN_NAME.test(text)) return genericMessage(sqlstate);
  const kind = sqlstate.slice(0, 2);
  if (SERVER_STATE_CLASSES.has(kind)) return message;
  if (kind === '23') return cleanConstraintMessage(message, sqlstate, plan);
  if (ANALYSIS_CLASSES.has(kind) && quotesOnly(message, text)) return message;
  if (SAFE_DATA_MESSAGES.some((pattern) => pattern.test(message)) && quotesOnly(message, text)) return message;
  return genericMessage(sqlstate);
}

/** Classes whose texts speak of the server's or the transaction's state only. */
const SERVER_STATE_CLASSES: ReadonlySet<string> = new Set(['08', '25', '40', '53', '55', '57', '58']);
/** Classes raised before any row is read; their texts quote names, types and operators. */
const ANALYSIS_CLASSES: ReadonlySet<string> = new Set(['0A', '21', '24', '26', '2B', '34', '3D', '3F', '42', '54']);

/** Each name or value in double quotes (or single ones) stands in the agent's own text. */
function quotesOnly(message: string, text: string): boolean {
  for (const match of message.matchAll(/"((?:[^"]|"")*)"|'([^']*)'/g)) {
    const quoted = match[1] ?? match[2] ?? '';
    if (quoted !== '' && !text.includes(quoted) && !text.toLowerCase().includes(quoted)) return false;
  }
  return true;
}

/** Messages of data exceptions that hold no value, or only in quotes. */
const SAFE_DATA_MESSAGES: readonly RegExp[] = [
  /^division by zero$/,
  /^(smallint|integer|bigint|interval|timestamp|date|numeric|money|real|double precision) out of range$/,
  /^value out of range: (overflow|underflow)$/,
  /^invalid input syntax for type [a-z ]+(: ".*")?$/,
  /^invalid input value for enum [a-z_."]+: ".*"$/,
  /^value ".*" is out of range for type [a-z ]+$/,
  /^date\/time field value out of range: ".*"$/,
  /^value too long for type [a-z ]+(\([0-9]+\))?$/,
  /^numeric field overflow$/,
  /^invalid regular expression: [a-z ,()[\]{}\\]+$/,
  /^(LIMIT|OFFSET) must not be negative$/,
  /^cannot take (logarithm|square root) of (zero|a negative number)$/,
  /^more than one row returned by a subquery used as an expression$/,
  /^malformed (array|record|range) literal: ".*"$/,
  /^negative substring length not allowed$/,
  /^step size cannot equal zero$/,
];

const CONSTRAINT_MESSAGES: ReadonlyMap<string, { readonly pattern: RegExp; readonly generic: string }> = new Map([
  [
    '23505',
    {
      pattern: /^duplicate key value violates unique constraint "[^"]+"$/,
      generic: 'duplicate key value violates a unique constraint',
    },
  ],
  [
    '23503',
    {
      pattern:
        /^(insert or update|update or delete) on table "[^"]+" violates foreign key constraint "[^"]+"( on table "[^"]+")?$/,
      generic: 'a foreign key constraint is violated',
    },
  ],
  [
    '23502',
    {
      pattern: /^null value in column "[^"]+" of relation "[^"]+" violates not-null constraint$/,
      generic: 'null value violates a not-null constraint',
    },
  ],
  [
    '23514',
    {
      pattern: /^new row for relation "[^"]+" violates check constraint "[^"]+"$/,
      generic: 'new row violates a check constraint',
    },
  ],
  [
    '23P01',
    {
      pattern: /^conflicting key value violates exclusion constraint "[^"]+"$/,
      generic: 'conflicting key value violates an exclusion constraint',
    },
  ],
]);

function cleanConstraintMessage(message: string, sqlstate: string, plan: StatementPlan): string {
  const known = CONSTRAINT_MESSAGES.get(sqlstate);
  if (known === undefined) return genericMessage(sqlstate);
  if (plan.whole && known.pattern.test(message)) return message;
  return isAboutSeenColumn(message, plan) ? message : known.generic;
}

/** A column without a value, of a relation that the statement writes, both known to the agent: which of them it is shows no value of a row. */
function isAboutSeenColumn(message: string, { written }: StatementPlan): boolean {
  const [, column, relation] =
    /^null value in column "([^"]+)" of relation "([^"]+)" violates not-null constraint$/.exec(message) ?? [];
  return written.some((view) => view.name === relation && view.columns.some(({ name }) => name === column));
}

/** Condition names of PostgreSQL's appendix A, for those an agent is likely to meet. */
const CONDITIONS: ReadonlyMap<string, string> = new Map([
  ['22001', 'value too long for its type'],
  ['22003', 'numeric value out of range'],
  ['22007', 'invalid date or time format'],
  ['22008', 'date or time value out of range'],
  ['22012', 'division by zero'],
  ['22021', 'invalid byte sequence for the encoding'],
  ['22023', 'invalid parameter value'],
  ['22P02', 'invalid text representation of a value'],
  ['22P03', 'invalid binary representation of a value'],
  ['22P04', 'invalid data for COPY'],
  ['2201B', 'invalid regular expression'],
  ['2202E', 'array subscript error'],
  ['42601', 'syntax error'],
  ['42702', 'column reference is ambiguous'],
  ['42703', 'column does not exist'],
  ['42803', 'column must appear in the GROUP BY clause or be used in an aggregate function'],
  ['42804', 'types do not match'],
  ['42883', 'no function or operator matches the given name and argument types'],
  ['42P01', 'relation does not exist'],
  ['42P10', 'invalid column reference'],
  ['42501', 'permission denied'],
  ['P0001', 'an exception was raised by a database function'],
]);

const CLASSES: ReadonlyMap<string, string> = new Map([
  ['0A', 'feature not supported'],
  ['21', 'cardinality violation'],
  ['22', 'data exception'],
  ['23', 'integrity constraint violation'],
  ['26', 'prepared statement does not exist'],
  ['34', 'cursor does not exist'],
  ['42', 'syntax error or access rule violation'],
  ['44', 'the row violates the check option of a view'],
  ['54', 'program limit exceeded'],
  ['P0', 'an exception was raised by a database function'],
  ['XX', 'internal error of the database'],
]);

/** A text for the SQLSTATE alone. */
export function genericMessage(sqlstate: string): string {
  return CONDITIONS.get(sqlstate) ?? CLASSES.get(sqlstate.slice(0, 2)) ?? 'the statement failed in the database';
}

/**
 * Maps a 1-based character position in the text the server read to one in the agent's own. A position inside text of ours becomes the
 * place in the agent's text that follows it; without a place there is none.
 */
export function mapPosition(position: number, context: Pick<ErrorContext, 'text' | 'pieces'>): number | undefined {
  if (!Number.isInteger(position) || position < 1) return undefined;
  const { text, pieces } = context;
  if (pieces === undefined) return position;
  let left = position - 1;
  let lastEnd = 0;
  let inOurs = false;
  for (const piece of pieces) {
    if ('insert' in piece) {
      const length = countCharacters(piece.insert, 0, piece.insert.length);
      if (!inOurs && left < length) inOurs = true;
      else if (!inOurs) left -= length;
      continue;
    }
    if (inOurs) return countCharacters(text, 0, piece.start) + 1;
    const length = countCharacters(text, piece.start, piece.end);
    if (left < length) return countCharacters(text, 0, piece.start) + left + 1;
    left -= length;
    lastEnd = piece.end;
  }
  return inOurs || left === 0 ? countCharacters(text, 0, lastEnd) + 1 : undefined;
}

/** Characters (code points) in a UTF-16 range. */
function countCharacters(text: string, start: number, end: number): number {
  let count = 0;
  for (let index = start; index < end; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0xdc00 || unit > 0xdfff) count++;
  }
  return count;
}
