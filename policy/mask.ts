import type { MaskMethod, MaskSpec } from '#crds/kinds.ts';
import type { CatalogColumn, CatalogSnapshot } from '#sql/catalog.ts';
import { quoteLiteral } from '#sql/identifiers.ts';
import type { ExpressionPieces } from '#sql/relation-view.ts';
import { type ColumnType, columnType, isCitext, numericModifier } from './sql-type.ts';

/**
 * The eight mask methods as SQL expressions over one column. Each is total (no value of the type makes it raise), keeps type and
 * type modifier, and names everything in pg_catalog, so that no search path and no user function can change it.
 *
 * SetNull, Constant and Redact do not read the column at all: they give the same for every row, NULL or not. The other
 * methods keep NULL as NULL.
 *
 * A method that does not fit (length, domain, enum, type) is an answer of its own, with the methods that do.
 */
export type MaskResult =
  | { readonly kind: 'mask'; readonly method: MaskMethod; readonly expression: ExpressionPieces }
  | { readonly kind: 'unfit'; readonly problem: string };

export const REDACTED = '[redacted]';

/**
 * Session settings that hold the hash key's inner and outer pads (RFC 2104: key XOR 0x36.., key XOR 0x5c.., 64 bytes each) in hex,
 * set at start-up (policy/mask-key.ts). No statement ever holds the key.
 */
export const MASK_KEY_INNER_SETTING = 'postern.mask_key_inner';
export const MASK_KEY_OUTER_SETTING = 'postern.mask_key_outer';

type Piece = ExpressionPieces[number];
type Built = { readonly pieces: readonly Piece[] } | { readonly unfit: string };

interface MaskInput {
  readonly type: ColumnType;
  readonly column: { readonly column: string };
}

/** The expression for a mask on a column, without its name; `unfit` says why and what fits instead. */
export function maskExpression(mask: MaskSpec, column: CatalogColumn, catalog: CatalogSnapshot): MaskResult {
  const type = columnType(column, catalog);
  if (type === undefined) return { kind: 'unfit', problem: `its type is not known; hide the column` };
  const built = build(mask, type, column.name);
  if ('unfit' in built) {
    const fitting = fittingMethods(column, catalog);
    const advice = fitting.length > 0 ? `use one of: ${fitting.join(', ')}` : 'no method fits; hide the column';
    return { kind: 'unfit', problem: `${mask.method} does not fit ${type.display}: ${built.unfit}; ${advice}` };
  }
  return { kind: 'mask', method: mask.method, expression: mergeText(['(', ...built.pieces, `)::${type.sql}`]) };
}

const SAMPLES: readonly MaskSpec[] = [
  { method: 'SetNull' },
  { method: 'Redact' },
  { method: 'Partial', keepFirst: 0, keepLast: 0, fill: '*' },
  { method: 'Email' },
  { method: 'Hash' },
  { method: 'Bucket', size: 10 },
  { method: 'Truncate', to: 'year' },
];

/** The methods that fit a column. Constant depends on its value, so it is not listed. */
export function fittingMethods(column: CatalogColumn, catalog: CatalogSnapshot): readonly MaskMethod[] {
  const type = columnType(column, catalog);
  if (type === undefined) return [];
  return SAMPLES.filter((sample) => !('unfit' in build(sample, type, column.name))).map((sample) => sample.method);
}

function build(mask: MaskSpec, type: ColumnType, name: string): Built {
  const input: MaskInput = { type, column: { column: name } };
  const givesNull = mask.method === 'SetNull' || (mask.method === 'Redact' && type.family !== 'text');
  if (type.domainChecks.length > 0 && !(givesNull && type.domainChecks.every(holdsForNull))) {
    return { unfit: 'the result may break a CHECK of the domain' };
  }
  if (type.domainNotNull && mask.method !== 'Constant' && (givesNull || mask.method !== 'Redact')) {
    return { unfit: 'the domain is NOT NULL' };
  }
  return METHODS[mask.method](mask, input);
}

/**
 * A domain's CHECK passes for NULL if everything in it is strict: columns, literals, operators, AND, OR, NOT, casts, and a few
 * strict built-ins. Anything else is taken as not passing.
 */
function holdsForNull(check: string): boolean {
  const bare = check.replaceAll(/'(?:[^']|'')*'/g, "''");
  if (/\b(is|case|coalesce|nullif|isnull|notnull|distinct|array|exists|select)\b/i.test(bare)) return false;
  const calls = [...bare.matchAll(/([\w".]+)\s*\(/g)].map((match) => match[1] ?? '');
  return calls.every((call) =>
    /^(check|and|or|not|length|char_length|lower|upper|btrim|abs|any|varchar|numeric|bpchar)$/i.test(call),
  );
}

const METHODS: Readonly<Record<MaskMethod, (mask: MaskSpec, input: MaskInput) => Built>> = {
  SetNull: () => ({ pieces: ['NULL'] }),
  Redact: (_, { type }) => (type.family === 'text' ? redacted(type) : { pieces: ['NULL'] }),
  Constant: constant,
  Partial: partial,
  Email: email,
  Hash: hash,
  Bucket: bucket,
  Truncate: truncate,
};

function redacted(type: ColumnType): Built {
  return fitsLength(type, REDACTED.length)
    ? { pieces: [quoteLiteral(REDACTED)] }
    : { unfit: `${REDACTED} has ${REDACTED.length} characters` };
}

function fitsLength(type: ColumnType, length: number): boolean {
  return type.maxLength === undefined || type.maxLength >= length;
}

// --- Constant ---

const INTEGER_LIMITS: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int2: [-32768n, 32767n],
  int4: [-2147483648n, 2147483647n],
  int8: [-9223372036854775808n, 9223372036854775807n],
};

/** A constant that the type cannot hold is found here where its form is known to us, else by the server (in every statement). */
function constant(mask: MaskSpec, { type }: MaskInput): Built {
  if (mask.method !== 'Constant') return { unfit: 'not a constant' };
  const value = String(mask.value);
  const problem = constantProblem(value, type);
  return problem === undefined ? { pieces: [quoteLiteral(value)] } : { unfit: problem };
}

function constantProblem(value: string, type: ColumnType): string | undefined {
  const notOne = `${JSON.stringify(value)} is not one of its values`;
  const limits = INTEGER_LIMITS[type.family];
  if (limits !== undefined) {
    if (!/^[+-]?\d{1,30}$/.test(value)) return notOne;
    return BigInt(value) < limits[0] || BigInt(value) > limits[1] ? notOne : undefined;
  }
  switch (type.family) {
    case 'text': {
      const size = type.base.name === 'name' ? Buffer.byteLength(value) : Array.from(value).length;
      return fitsLength(type, size) ? undefined : `the value has ${size} characters`;
    }
    case 'numeric':
      return numericConstantFits(value, type.typmod) ? undefined : notOne;
    case 'float4':
    case 'float8': {
      const limit = type.family === 'float4' ? 3.4e38 : Number.MAX_VALUE;
      return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/.test(value) && Math.abs(Number(value)) <= limit
        ? undefined
        : notOne;
    }
    case 'uuid':
      return /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(value) ? undefined : notOne;
    case 'date':
    case 'timestamp':
    case 'timestamptz':
      return /^\d{4}-\d{2}-\d{2}/.test(value) && !Number.isNaN(Date.parse(value.replace(' ', 'T')))
        ? undefined
        : notOne;
    case 'other':
      return otherConstantProblem(value, type, notOne);
    default:
      return undefined;
  }
}

function otherConstantProblem(value: string, type: ColumnType, notOne: string): string | undefined {
  if (type.base.kind === 'e' && type.base.enumLabels?.includes(value) === false) return notOne;
  if (type.base.schema !== 'pg_catalog') return undefined;
  if (type.base.name === 'bool') return /^(true|false)$/i.test(value) ? undefined : notOne;
  if (type.base.name !== 'json' && type.base.name !== 'jsonb') return undefined;
  try {
    JSON.parse(value);
    return undefined;
  } catch {
    return notOne;
  }
}

function numericConstantFits(value: string, typmod: number): boolean {
  const match = /^[+-]?(\d{0,400})\.?(\d{0,400})$/.exec(value);
  if (match === null || value.replaceAll(/[^\d]/g, '') === '') return false;
  const modifier = numericModifier(typmod);
  if (modifier === undefined) return true;
  const whole = (match[1] ?? '').replace(/^0+/, '').length;
  return (
    whole <= Math.max(0, modifier.precision - modifier.scale) && (match[2] ?? '').length <= Math.max(0, modifier.scale)
  );
}

/** Pieces from a template: texts, columns, and lists of them. */
function sql(texts: TemplateStringsArray, ...values: readonly (Piece | readonly Piece[])[]): readonly Piece[] {
  return texts.flatMap((text, index) => {
    const value = values[index];
    if (value === undefined) return [text];
    return Array.isArray(value) ? [text, ...(value as readonly Piece[])] : [text, value as Piece];
  });
}

// --- text ---
// Operators are written as the functions behind them (`int4gt` for `>`): as safe as OPERATOR(pg_catalog.>) and shorter, and
// every rewritten statement is parsed once more.

/** The column where text functions take it for text; other types cast (bpchar: without its blanks; citext is binary-coercible). */
function asText({ column, type }: MaskInput): readonly Piece[] {
  const isText = type.base.schema === 'pg_catalog' && (type.base.name === 'text' || type.base.name === 'varchar');
  return isText ? [column] : sql`(${column})::pg_catalog.text`;
}

function partial(mask: MaskSpec, input: MaskInput): Built {
  if (mask.method !== 'Partial') return { unfit: 'not a partial mask' };
  if (input.type.family !== 'text') return { unfit: 'it keeps characters of a text' };
  const value = asText(input);
  const kept = mask.keepFirst + mask.keepLast;
  const fill = quoteLiteral(mask.fill);
  const length = sql`pg_catalog.length(${value})`;
  const all = sql`pg_catalog.repeat(${fill}, ${length})`;
  if (kept === 0) return { pieces: all };
  const first = mask.keepFirst === 0 ? [] : sql`pg_catalog."left"(${value}, ${String(mask.keepFirst)}), `;
  const last = mask.keepLast === 0 ? [] : sql`, pg_catalog."right"(${value}, ${String(mask.keepLast)})`;
  const middle = sql`pg_catalog.repeat(${fill}, pg_catalog.int4mi(${length}, ${String(kept)}))`;
  // As long as what is kept counts as shorter: otherwise such a value would come out whole. NULL takes that way, too.
  const isLonger = sql`pg_catalog.int4gt(${length}, ${String(kept)})`;
  return { pieces: sql`CASE WHEN ${isLonger} THEN pg_catalog.concat(${first}${middle}${last}) ELSE ${all} END` };
}

/** Longer than any address (RFC 5321: 64 + 1 + 255); a regular expression over a huge value could run out of memory. */
const MAX_ADDRESS_BYTES = 320;

/** One `@` with something on both sides and no white space. */
function email(_: MaskSpec, input: MaskInput): Built {
  if (input.type.family !== 'text') return { unfit: 'it reads a text' };
  if (!fitsLength(input.type, REDACTED.length)) return { unfit: `${REDACTED} has ${REDACTED.length} characters` };
  const value = asText(input);
  const no = quoteLiteral(REDACTED);
  const isTooLong = sql`pg_catalog.int4gt(pg_catalog.octet_length(${value}), ${String(MAX_ADDRESS_BYTES)})`;
  const isAddress = sql`pg_catalog.textregexeq(${value}, '^[^@[:space:]]+@[^@[:space:]]+$')`;
  const masked = sql`pg_catalog.concat(pg_catalog."left"(${value}, 1), '***@', pg_catalog.split_part(${value}, '@', 2))`;
  return {
    pieces: sql`CASE WHEN ${input.column} IS NULL THEN NULL WHEN ${isTooLong} THEN ${no} WHEN ${isAddress} THEN ${masked} ELSE ${no} END`,
  };
}

const HASH_LENGTH = 32;

/**
 * HMAC-SHA-256 (RFC 2104) of the value's text in the database's own encoding (so that no conversion can fail; UTF-8 nearly
 * everywhere), its first 16 bytes. citext is lowered first, since equal values must hash alike.
 */
function hash(_: MaskSpec, input: MaskInput): Built {
  const { type } = input;
  if (type.family !== 'text' && type.family !== 'uuid')
    return { unfit: 'a token is a text of 32 characters or a uuid' };
  if (type.family === 'text' && !fitsLength(type, HASH_LENGTH))
    return { unfit: `a token has ${HASH_LENGTH} characters` };
  const text = isCitext(type.base) ? sql`pg_catalog.lower(${asText(input)})` : asText(input);
  const pad = (setting: string): string =>
    `pg_catalog.decode(pg_catalog.current_setting(${quoteLiteral(setting)}), 'hex')`;
  const bytes = sql`pg_catalog.convert_to(${text}, pg_catalog.getdatabaseencoding())`;
  const inner = sql`pg_catalog.sha256(pg_catalog.byteacat(${pad(MASK_KEY_INNER_SETTING)}, ${bytes}))`;
  const outer = sql`pg_catalog.sha256(pg_catalog.byteacat(${pad(MASK_KEY_OUTER_SETTING)}, ${inner}))`;
  return { pieces: sql`pg_catalog."left"(pg_catalog.encode(${outer}, 'hex'), ${String(HASH_LENGTH)})` };
}

// --- numbers ---

/** `value - ((value mod size + size) mod size)` in int8 or numeric, where no step can overflow. */
function floorTo(value: readonly Piece[], size: string, wide: 'int8' | 'numeric'): readonly Piece[] {
  const [plus, minus] = wide === 'int8' ? ['int8pl', 'int8mi'] : ['numeric_add', 'numeric_sub'];
  const remainder = sql`pg_catalog.mod(pg_catalog.${plus}(pg_catalog.mod(${value}, ${size}), ${size}), ${size})`;
  return sql`pg_catalog.${minus}(${value}, ${remainder})`;
}

function bucket(mask: MaskSpec, input: MaskInput): Built {
  if (mask.method !== 'Bucket') return { unfit: 'not a bucket' };
  const { family } = input.type;
  const limits = INTEGER_LIMITS[family];
  if (limits !== undefined) {
    if (!Number.isSafeInteger(mask.size)) return { unfit: 'size must be a whole number' };
    // int8 holds every int4 minus every safe integer; for int8 itself numeric is needed.
    const wide = family === 'int8' ? 'numeric' : 'int8';
    const floor = floorTo(sql`(${input.column})::pg_catalog."${wide}"`, `'${mask.size}'::pg_catalog."${wide}"`, wide);
    return clamped(input, floor, `'${limits[0]}'::pg_catalog."${wide}"`);
  }
  const size = `'${mask.size}'::pg_catalog."numeric"`;
  if (family === 'numeric') return bucketNumeric(input, size);
  if (family === 'float4' || family === 'float8') return bucketFloat(input, size);
  return { unfit: 'it rounds numbers' };
}

/** GREATEST skips NULL: without the guard a NULL would become the lowest value. */
function clamped(input: MaskInput, floor: readonly Piece[], lowest: string): Built {
  return { pieces: sql`CASE WHEN ${input.column} IS NOT NULL THEN GREATEST(${floor}, ${lowest}) END` };
}

/**
 * With a precision: what it cannot hold becomes the lowest value that it can (NaN stays by itself). Without: the infinities stay, and
 * what lies where a step could overflow becomes -1e131000.
 */
function bucketNumeric(input: MaskInput, size: string): Built {
  const modifier = numericModifier(input.type.typmod);
  const value = sql`(${input.column})::pg_catalog."numeric"`;
  const floor = floorTo(value, size, 'numeric');
  if (modifier !== undefined) {
    return clamped(input, floor, `'-${'9'.repeat(modifier.precision)}e${-modifier.scale}'::pg_catalog."numeric"`);
  }
  const lowest = `'-1e131000'::pg_catalog."numeric"`;
  // x - x is 0 for finite numbers and NaN for the others.
  const isSpecial = sql`pg_catalog.numeric_ne(pg_catalog.numeric_sub(${value}, ${value}), 0)`;
  const isTooLow = sql`pg_catalog.numeric_lt(${value}, ${lowest})`;
  return { pieces: sql`CASE WHEN ${isSpecial} THEN ${value} WHEN ${isTooLow} THEN ${lowest} ELSE ${floor} END` };
}

/** By way of numeric, which neither overflows nor underflows on the way; its 15 digits are what a float8 holds for sure. */
function bucketFloat(input: MaskInput, size: string): Built {
  const limit = input.type.family === 'float4' ? '3.4028234e38' : '1.79769313486231e308';
  const wide = sql`(${input.column})::pg_catalog.float8`;
  const number = (text: string): string => `'${text}'::pg_catalog."numeric"`;
  const specials = ['NaN', 'Infinity', '-Infinity'].map((text) => `'${text}'::pg_catalog.float8`).join(', ');
  const floor = floorTo(sql`${wide}::pg_catalog."numeric"`, size, 'numeric');
  const clampedFloor = sql`(LEAST(GREATEST(${floor}, ${number(`-${limit}`)}), ${number(limit)}))::pg_catalog.float8`;
  const isSpecial = sql`${wide} OPERATOR(pg_catalog.=) ANY (ARRAY[${specials}])`;
  return { pieces: sql`CASE WHEN ${isSpecial} THEN ${wide} WHEN ${input.column} IS NOT NULL THEN ${clampedFloor} END` };
}

// --- dates ---

/**
 * Dates reach further than timestamps, and the start of the first year lies before the first instant: values out there become
 * the limit of what can be truncated. The infinities stay (and NULL).
 */
function truncate(mask: MaskSpec, input: MaskInput): Built {
  if (mask.method !== 'Truncate') return { unfit: 'not a truncation' };
  const { family } = input.type;
  if (family !== 'date' && family !== 'timestamp' && family !== 'timestamptz')
    return { unfit: 'it truncates dates and timestamps' };
  const limit = (year: number): string => {
    const date = `pg_catalog.make_date(${year}, 1, 1)`;
    if (family === 'date') return date;
    return family === 'timestamp'
      ? `${date}::pg_catalog."timestamp"`
      : `pg_catalog.timezone('UTC', ${date}::pg_catalog."timestamp")`;
  };
  const [wide, back] = family === 'date' ? ['::pg_catalog."timestamp"', '::pg_catalog.date'] : ['', ''];
  const { column } = input;
  const within = sql`LEAST(GREATEST(${column}, ${limit(-4711)}), ${limit(294_276)})${wide}`;
  const truncated = sql`pg_catalog.date_trunc(${quoteLiteral(mask.to)}, ${within})${back}`;
  return { pieces: sql`CASE WHEN pg_catalog.isfinite(${column}) THEN ${truncated} ELSE ${column} END` };
}

/** Joins neighbouring texts. */
export function mergeText(pieces: readonly Piece[]): ExpressionPieces {
  const merged: Piece[] = [];
  for (const piece of pieces) {
    const last = merged.at(-1);
    if (typeof piece === 'string' && typeof last === 'string') merged[merged.length - 1] = last + piece;
    else merged.push(piece);
  }
  return merged;
}
