/**
 * Names as policies write them: exactly as the catalog holds them, unquoted (`public.CustomerNotes`); a name with a dot, a star
 * or a space is quoted as in SQL (`public."order.lines"`).
 */
type Parsed<T> = { readonly value: T } | { readonly problem: string };

/** A relation, or with `relation: undefined` all relations of a schema. */
export interface TablePattern {
  /** As written. */
  readonly text: string;
  readonly schema: string;
  readonly relation: string | undefined;
}

export interface FunctionGrant {
  readonly kind: 'function' | 'operator' | 'extension';
  /** Absent for an extension. */
  readonly schema?: string;
  readonly name: string;
}

/** What the parsers below accept, as far as a pattern can say it; for the CRDs' schemas. */
export const COLUMN = /^("([^"]|"")+"|[^".*\s]+)$/;
export const COLUMN_OR_STAR = /^("([^"]|"")+"|[^".*\s]+|\*)$/;
export const TABLE_OR_STAR = /^("([^"]|"")+"|[^".*\s]+)\.("([^"]|"")+"|[^".*\s]+|\*)$/;
export const FUNCTION_GRANT =
  /^(extension:[A-Za-z0-9_-]{1,63}|operator:("([^"]|"")+"|[^".\s]+)\.[+\-*/<>=~!@#%^&|`?]{1,63}|("([^"]|"")+"|[^".*\s]+)\.("([^"]|"")+"|[^".*\s]+))$/;

type Part = { readonly name: string; readonly quoted: boolean };

/** Splits at the dots that stand outside quotes. */
function splitParts(text: string): Parsed<readonly Part[]> {
  const parts: Part[] = [];
  const token = /"((?:[^"]|"")*)"|([^".\s]+)/y;
  let at = 0;
  for (;;) {
    token.lastIndex = at;
    const match = token.exec(text);
    if (match === null)
      return { problem: `${JSON.stringify(text)} is not a name; quote a name with a dot, a star or a space as in SQL` };
    const quoted = match[1] !== undefined;
    const name = quoted ? (match[1] ?? '').replaceAll('""', '"') : (match[2] ?? '');
    if (name === '') return { problem: 'holds an empty name' };
    if (!quoted && name !== '*' && name.includes('*'))
      return { problem: `${name}: a star stands for a whole name; quote a name that holds one` };
    if (Buffer.byteLength(name) > 63) return { problem: `${name}: no name in PostgreSQL is longer than 63 bytes` };
    parts.push({ name, quoted });
    at = token.lastIndex;
    if (at === text.length) return { value: parts };
    if (text[at] !== '.')
      return { problem: `${JSON.stringify(text)} is not a name; quote a name with a dot, a star or a space as in SQL` };
    at += 1;
  }
}

function isStar(part: Part): boolean {
  return part.name === '*' && !part.quoted;
}

/** `schema.table` or `schema.*`. */
export function parseTablePattern(text: string): Parsed<TablePattern> {
  const parts = splitParts(text);
  if ('problem' in parts) return parts;
  const [schema, relation, ...rest] = parts.value;
  if (schema === undefined || relation === undefined || rest.length > 0) {
    return { problem: `expected schema.table or schema.*, found ${JSON.stringify(text)}` };
  }
  if (isStar(schema)) return { problem: 'expected schema.table or schema.*; a star cannot stand for the schema' };
  if (schema.name === 'pg_catalog' || schema.name === 'information_schema' || schema.name.startsWith('pg_toast')) {
    return { problem: `${schema.name} cannot be granted: the gate itself answers for the catalogs` };
  }
  return { value: { text, schema: schema.name, relation: isStar(relation) ? undefined : relation.name } };
}

/** A column, or `undefined` for the star. */
export function parseColumnPattern(text: string): Parsed<{ readonly name: string | undefined }> {
  const parts = splitParts(text);
  if ('problem' in parts) return parts;
  const [column, ...rest] = parts.value;
  if (column === undefined || rest.length > 0)
    return { problem: `expected a column's name, found ${JSON.stringify(text)}` };
  return { value: { name: isStar(column) ? undefined : column.name } };
}

/** A column; the star is a problem. */
export function parseColumnName(text: string): Parsed<string> {
  const pattern = parseColumnPattern(text);
  if ('problem' in pattern) return pattern;
  if (pattern.value.name === undefined) return { problem: "expected a column's name; * cannot stand here" };
  return { value: pattern.value.name };
}

/** `schema.function`, `operator:schema.op` or `extension:name`. */
export function parseFunctionGrant(text: string): Parsed<FunctionGrant> {
  if (text.startsWith('extension:')) {
    const name = text.slice('extension:'.length);
    return /^[A-Za-z0-9_-]{1,63}$/.test(name)
      ? { value: { kind: 'extension', name } }
      : { problem: 'expected extension:NAME' };
  }
  if (text.startsWith('operator:')) {
    const match = /^operator:(?:"((?:[^"]|"")+)"|([^".\s]+))\.([+\-*/<>=~!@#%^&|`?]{1,63})$/.exec(text);
    const operator = match?.[3];
    if (match === null || operator === undefined)
      return { problem: 'expected operator:SCHEMA.OPERATOR, e.g. operator:public.<->' };
    return { value: { kind: 'operator', schema: match[1]?.replaceAll('""', '"') ?? match[2] ?? '', name: operator } };
  }
  const parts = splitParts(text);
  if ('problem' in parts) return parts;
  const [schema, name, ...rest] = parts.value;
  if (schema === undefined || name === undefined || rest.length > 0 || isStar(schema) || isStar(name)) {
    return { problem: `expected schema.function, operator:schema.op or extension:name, found ${JSON.stringify(text)}` };
  }
  return { value: { kind: 'function', schema: schema.name, name: name.name } };
}
