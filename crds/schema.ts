import { didYouMean } from './suggest.ts';

/** One thing wrong with a manifest: where it stands (`spec.tables[0].mask[1].with.method`) and what is expected. */
export interface Problem {
  readonly path: string;
  readonly problem: string;
}

/** What a schema says of itself; from it the CRDs' OpenAPI schema is made. */
export type SchemaNode =
  | {
      readonly type: 'string';
      readonly minLength: number;
      readonly maxLength: number;
      readonly pattern?: string;
      /** What the pattern asks for, in words. */
      readonly expected: string;
    }
  | { readonly type: 'integer' | 'number'; readonly minimum: number; readonly maximum: number }
  | { readonly type: 'boolean' }
  | { readonly type: 'enum'; readonly values: readonly string[] }
  | { readonly type: 'scalar'; readonly maxLength: number }
  | {
      readonly type: 'array';
      readonly items: SchemaNode;
      readonly minItems: number;
      readonly maxItems: number;
      /** The field of an entry that no two entries may share. */
      readonly key?: string;
    }
  | { readonly type: 'map'; readonly values: SchemaNode; readonly minEntries: number; readonly maxEntries: number }
  | { readonly type: 'object'; readonly fields: Readonly<Record<string, FieldNode>> }
  | { readonly type: 'union'; readonly tag: string; readonly variants: Readonly<Record<string, SchemaNode>> };

export interface FieldNode {
  readonly node: SchemaNode;
  readonly required: boolean;
  readonly default?: unknown;
}

/** Stands for a value that has problems: they are in the list, the value is of no use. */
export const INVALID: unique symbol = Symbol('invalid');
export type Invalid = typeof INVALID;

/** A typed description of a value. `decode` adds to `problems` and answers INVALID exactly when it added some. */
export interface Schema<T> {
  readonly node: SchemaNode;
  readonly decode: (value: unknown, path: string, problems: Problem[]) => T | Invalid;
}

/** A field that may be left out: absent stays absent. */
export interface OptionalField<T> {
  readonly field: 'optional';
  readonly schema: Schema<T>;
}

/** A field with a default, applied by the decoder. */
export interface DefaultField<T> {
  readonly field: 'default';
  readonly schema: Schema<T>;
  readonly value: unknown;
}

export type Field<T> = Schema<T> | OptionalField<T> | DefaultField<T>;

type FieldValue<F> =
  F extends OptionalField<infer T> ? T : F extends DefaultField<infer T> ? T : F extends Schema<infer T> ? T : never;
type OptionalKeys<F> = { [K in keyof F]: F[K] extends OptionalField<unknown> ? K : never }[keyof F];

/** The type an object schema decodes to. */
export type ObjectOf<F> = {
  readonly [K in Exclude<keyof F, OptionalKeys<F>>]: FieldValue<F[K]>;
} & { readonly [K in OptionalKeys<F>]?: FieldValue<F[K]> };

/** The type a schema decodes to. */
export type Infer<S> = S extends Schema<infer T> ? T : never;

export function optional<T>(schema: Schema<T>): OptionalField<T> {
  return { field: 'optional', schema };
}

/** `value` is undecoded input: the default of an object is `{}`, its own fields' defaults follow. */
export function withDefault<T>(schema: Schema<T>, value: unknown): DefaultField<T> {
  return { field: 'default', schema, value };
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'string') return value.length > 40 ? 'a text' : JSON.stringify(value);
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : `a ${typeof value}`;
}

function fail(problems: Problem[], path: string, problem: string): Invalid {
  problems.push({ path, problem });
  return INVALID;
}

interface TextRules {
  readonly pattern?: RegExp;
  /** What the pattern asks for, in words. */
  readonly expected?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
}

/** Every text, list and map has a bound, so that whatever walks them has one too. */
const MAX_TEXT_LENGTH = 1024;
const MAX_SCALAR_LENGTH = 4096;
const MAX_MAP_ENTRIES = 64;

/** A text. Empty ones only with `minLength: 0`; NUL and lone surrogates never. */
export function text(rules: TextRules = {}): Schema<string> {
  const minLength = rules.minLength ?? 1;
  const maxLength = rules.maxLength ?? MAX_TEXT_LENGTH;
  const expected = rules.expected ?? 'a text';
  return {
    node: {
      type: 'string',
      minLength,
      maxLength,
      expected,
      ...(rules.pattern === undefined ? {} : { pattern: rules.pattern.source }),
    },
    decode(value, path, problems) {
      if (typeof value !== 'string') return fail(problems, path, `expected ${expected}, found ${describe(value)}`);
      if (value.length < minLength) return fail(problems, path, `expected ${expected}, found an empty text`);
      if (value.length > maxLength)
        return fail(problems, path, `expected at most ${maxLength} characters, found ${value.length}`);
      if (value.includes('\0') || !value.isWellFormed())
        return fail(problems, path, 'holds a character that cannot stand in a text');
      if (rules.pattern !== undefined && !rules.pattern.test(value)) {
        return fail(problems, path, `expected ${expected}, found ${describe(value)}`);
      }
      return value;
    },
  };
}

/**
 * A text turned into something else; `parse` answers a problem as `{ problem }`. `pattern` is for readers of the schema alone: it
 * accepts whatever `parse` does, and refuses most of what that refuses.
 */
export function parsed<T>(
  expected: string,
  parse: (value: string) => { readonly value: T } | { readonly problem: string },
  pattern: RegExp,
): Schema<T> {
  const base = text({ expected, maxLength: 320 });
  return {
    node: text({ expected, maxLength: 320, pattern }).node,
    decode(value, path, problems) {
      const string = base.decode(value, path, problems);
      if (string === INVALID) return INVALID;
      const result = parse(string);
      return 'problem' in result ? fail(problems, path, result.problem) : result.value;
    },
  };
}

function numeric(type: 'integer' | 'number', minimum: number, maximum: number): Schema<number> {
  const kind = type === 'integer' ? 'a whole number' : 'a number';
  const range = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
  return {
    node: { type, minimum, maximum },
    decode(value, path, problems) {
      const isKind =
        typeof value === 'number' && (type === 'number' ? Number.isFinite(value) : Number.isSafeInteger(value));
      if (!isKind || value < minimum || value > maximum) {
        return fail(problems, path, `expected ${kind} ${range}, found ${describe(value)}`);
      }
      return value;
    },
  };
}

export function integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): Schema<number> {
  return numeric('integer', minimum, maximum);
}

export function number(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): Schema<number> {
  return numeric('number', minimum, maximum);
}

export function boolean(): Schema<boolean> {
  return {
    node: { type: 'boolean' },
    decode(value, path, problems) {
      return typeof value === 'boolean'
        ? value
        : fail(problems, path, `expected true or false, found ${describe(value)}`);
    },
  };
}

/** One of a fixed set of words. */
export function choice<const V extends string>(values: readonly V[]): Schema<V> {
  return {
    node: { type: 'enum', values },
    decode(value, path, problems) {
      const found = values.find((candidate) => candidate === value);
      if (found !== undefined) return found;
      const hint = typeof value === 'string' ? didYouMean(value, values) : '';
      return fail(problems, path, `expected one of ${values.join(', ')}, found ${describe(value)}${hint}`);
    },
  };
}

/** A text, number or boolean. */
export function scalar(): Schema<string | number | boolean> {
  return {
    node: { type: 'scalar', maxLength: MAX_SCALAR_LENGTH },
    decode(value, path, problems) {
      if (typeof value === 'boolean') return value;
      if (typeof value === 'number' && Number.isFinite(value)) return value;
      if (typeof value === 'string' && value.length > MAX_SCALAR_LENGTH)
        return fail(problems, path, `expected at most ${MAX_SCALAR_LENGTH} characters, found ${value.length}`);
      if (typeof value === 'string' && !value.includes('\0') && value.isWellFormed()) return value;
      return fail(problems, path, `expected a text, a number, true or false, found ${describe(value)}`);
    },
  };
}

interface ListRules {
  readonly minItems?: number;
  readonly maxItems: number;
  /** The field of an entry that no two entries may share. */
  readonly key?: string;
}

export function list<T>(items: Schema<T>, { minItems = 0, maxItems, key }: ListRules): Schema<readonly T[]> {
  return {
    node: { type: 'array', items: items.node, minItems, maxItems, ...(key === undefined ? {} : { key }) },
    decode(value, path, problems) {
      if (!Array.isArray(value)) return fail(problems, path, `expected a list, found ${describe(value)}`);
      if (value.length < minItems)
        return fail(problems, path, `expected at least ${minItems} entry, found an empty list`);
      if (value.length > maxItems)
        return fail(problems, path, `expected at most ${maxItems} entries, found ${value.length}`);
      const before = problems.length;
      const decoded: T[] = [];
      for (const [index, item] of value.entries()) {
        const result = items.decode(item, `${path}[${index}]`, problems);
        if (result !== INVALID) decoded.push(result);
      }
      if (key !== undefined) problems.push(...repeatedKeys(value, path, key));
      return problems.length > before ? INVALID : decoded;
    },
  };
}

function repeatedKeys(entries: readonly unknown[], path: string, key: string): readonly Problem[] {
  const seen = new Set<unknown>();
  return entries.flatMap((entry, index) => {
    const given = isPlainObject(entry) ? entry[key] : undefined;
    if (given === undefined) return [];
    if (seen.has(given))
      return [{ path: `${path}[${index}].${key}`, problem: `${describe(given)} is taken by an earlier entry` }];
    seen.add(given);
    return [];
  });
}

/** A map from free names to values. */
export function map<T>(values: Schema<T>, minEntries: number): Schema<ReadonlyMap<string, T>> {
  return {
    node: { type: 'map', values: values.node, minEntries, maxEntries: MAX_MAP_ENTRIES },
    decode(value, path, problems) {
      if (!isPlainObject(value)) return fail(problems, path, `expected a map, found ${describe(value)}`);
      const entries = Object.entries(value);
      if (entries.length < minEntries) return fail(problems, path, 'expected at least one entry, found an empty map');
      if (entries.length > MAX_MAP_ENTRIES)
        return fail(problems, path, `expected at most ${MAX_MAP_ENTRIES} entries, found ${entries.length}`);
      const before = problems.length;
      const decoded = new Map<string, T>();
      for (const [key, item] of entries) {
        const result = values.decode(item, `${path}.${key}`, problems);
        if (result !== INVALID) decoded.set(key, result);
      }
      return problems.length > before ? INVALID : decoded;
    },
  };
}

/** A map as YAML and JSON readers make it. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}

/**
 * A map with known fields; any other field is a problem. `null` counts as absent only for fields that may be left out, as
 * `kubectl apply` treats it. `check` looks at the decoded whole and says what does not go together.
 */
export function object<const F extends Readonly<Record<string, Field<unknown>>>>(
  fields: F,
  check?: (value: ObjectOf<F>) => readonly Problem[],
): Schema<ObjectOf<F>> {
  const names = Object.keys(fields);
  return {
    node: {
      type: 'object',
      fields: Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, fieldNode(field)])),
    },
    decode(value, path, problems) {
      if (!isPlainObject(value))
        return fail(problems, path, `expected a map with ${names.join(', ')}, found ${describe(value)}`);
      const before = problems.length;
      for (const key of Object.keys(value)) {
        if (Object.hasOwn(fields, key)) continue;
        problems.push({
          path: join(path, key),
          problem: `unknown field; expected one of ${names.join(', ')}${didYouMean(key, names)}`,
        });
      }
      const decoded: Record<string, unknown> = {};
      for (const [name, field] of Object.entries(fields))
        decodeField(decoded, name, field, value[name], join(path, name), problems);
      if (problems.length > before) return INVALID;
      // Every field has been decoded by the schema that ObjectOf<F> names for it.
      const whole = decoded as ObjectOf<F>;
      for (const found of check?.(whole) ?? []) problems.push({ path: join(path, found.path), problem: found.problem });
      return problems.length > before ? INVALID : whole;
    },
  };
}

function join(path: string, name: string): string {
  if (name === '') return path;
  return path === '' ? name : `${path}.${name}`;
}

function fieldNode(field: Field<unknown>): FieldNode {
  if (!('field' in field)) return { node: field.node, required: true };
  if (field.field === 'optional') return { node: field.schema.node, required: false };
  return { node: field.schema.node, required: false, default: field.value };
}

function decodeField(
  into: Record<string, unknown>,
  name: string,
  field: Field<unknown>,
  value: unknown,
  path: string,
  problems: Problem[],
): void {
  if (!('field' in field)) {
    if (value === undefined) problems.push({ path, problem: 'is required' });
    else into[name] = field.decode(value, path, problems);
    return;
  }
  const absent = value === undefined || value === null;
  if (absent && field.field === 'optional') return;
  into[name] = field.schema.decode(absent && field.field === 'default' ? field.value : value, path, problems);
}

/** A map whose field `tag` says which other fields it has. `explainNull` is the answer to a tag that is null. */
export function tagged<const V extends Readonly<Record<string, Schema<unknown>>>>(
  tag: string,
  variants: V,
  explainNull: string,
): Schema<{ [K in keyof V]: Infer<V[K]> }[keyof V]> {
  const names = Object.keys(variants);
  return {
    node: {
      type: 'union',
      tag,
      variants: Object.fromEntries(Object.entries(variants).map(([name, variant]) => [name, variant.node])),
    },
    decode(value, path, problems) {
      if (!isPlainObject(value)) return fail(problems, path, `expected a map with ${tag}, found ${describe(value)}`);
      const name = value[tag];
      if (name === undefined) return fail(problems, join(path, tag), `is required: one of ${names.join(', ')}`);
      if (name === null) return fail(problems, join(path, tag), explainNull);
      const variant = typeof name === 'string' && Object.hasOwn(variants, name) ? variants[name] : undefined;
      if (variant === undefined) {
        const hint = typeof name === 'string' ? didYouMean(name, names) : '';
        return fail(problems, join(path, tag), `expected one of ${names.join(', ')}, found ${describe(name)}${hint}`);
      }
      // The variant's own schema is the one its name stands for in V.
      return variant.decode(value, path, problems) as { [K in keyof V]: Infer<V[K]> }[keyof V] | Invalid;
    },
  };
}
