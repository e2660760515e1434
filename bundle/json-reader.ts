/** Reads parsed JSON into typed shapes; fields that are not asked for are ignored, so that a newer end may send more. */

/** What was read is not of the expected shape; `message` is one line: path, then what is expected. */
export class MalformedError extends Error {
  constructor(path: string, expected: string) {
    super(`${path}: expected ${expected}`);
    this.name = 'MalformedError';
  }
}

/** A map of JSON, read field by field. */
export class JsonReader {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #path: string;

  /** Throws MalformedError where `value` is no map. */
  constructor(value: unknown, path: string) {
    if (!isMap(value)) throw new MalformedError(path, 'a map');
    this.#fields = value;
    this.#path = path;
  }

  pathOf(name: string): string {
    return `${this.#path}.${name}`;
  }

  /** The field as it stands; an inherited one is none, and null counts as absent. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? (this.#fields[name] ?? undefined) : undefined;
  }

  text(name: string): string {
    const value = this.raw(name);
    if (typeof value !== 'string') throw new MalformedError(this.pathOf(name), 'a text');
    return value;
  }

  optionalText(name: string): string | undefined {
    return this.raw(name) === undefined ? undefined : this.text(name);
  }

  /** A whole number from 0 that JSON carries exactly. */
  count(name: string): number {
    const value = this.raw(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw new MalformedError(this.pathOf(name), 'a whole number from 0');
    }
    return value;
  }

  optionalCount(name: string): number | undefined {
    return this.raw(name) === undefined ? undefined : this.count(name);
  }

  choice<T extends string>(name: string, known: readonly T[]): T {
    const value = this.raw(name);
    const found = known.find((entry) => entry === value);
    if (found === undefined) throw new MalformedError(this.pathOf(name), `one of ${known.join(', ')}`);
    return found;
  }

  map(name: string): JsonReader {
    return new JsonReader(this.raw(name), this.pathOf(name));
  }

  optionalMap(name: string): JsonReader | undefined {
    return this.raw(name) === undefined ? undefined : this.map(name);
  }

  list<T>(name: string, maxItems: number, read: (value: unknown, path: string) => T): readonly T[] {
    const value = this.raw(name);
    if (!Array.isArray(value) || value.length > maxItems) {
      throw new MalformedError(this.pathOf(name), `a list of at most ${maxItems} entries`);
    }
    const items: readonly unknown[] = value;
    return items.map((item, index) => read(item, `${this.pathOf(name)}[${index}]`));
  }
}

/** An entry of a list that must be a text. */
export function readText(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new MalformedError(path, 'a text');
  return value;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The result of a decoder that ignores unknown fields. */
export type Read<T> =
  | { readonly kind: 'read'; readonly value: T }
  | { readonly kind: 'malformed'; readonly message: string };

/** Parses JSON and reads it; what does not fit becomes an answer instead of a throw. `name` stands for the whole in messages. */
export function readingJson<T>(text: string | Uint8Array, name: string, read: (value: unknown) => T): Read<T> {
  try {
    return { kind: 'read', value: read(parse(text, name)) };
  } catch (error) {
    if (error instanceof MalformedError) return { kind: 'malformed', message: error.message };
    throw error;
  }
}

function parse(text: string | Uint8Array, name: string): unknown {
  try {
    const value: unknown = JSON.parse(typeof text === 'string' ? text : Buffer.from(text).toString('utf8'));
    return value;
  } catch {
    throw new MalformedError(name, 'JSON');
  }
}
