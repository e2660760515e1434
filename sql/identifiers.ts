/**
 * Printing of names and literals into SQL. These are the only two functions that turn outside text into SQL text.
 * Source: PostgreSQL manual, 4.1.1 Identifiers and 4.1.2 Constants; `standard_conforming_strings` is pinned on.
 */

/** Always quotes: `customers` → `"customers"`. Throws on NUL, which no name can hold. */
export function quoteIdentifier(name: string): string {
  if (name.includes('\0')) throw new Error('identifier contains NUL');
  return `"${name.replaceAll('"', '""')}"`;
}

/** `schema.name`, both quoted. */
export function quoteQualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** A string literal under standard_conforming_strings = on. Throws on NUL. */
export function quoteLiteral(value: string): string {
  if (value.includes('\0')) throw new Error('literal contains NUL');
  return `'${value.replaceAll("'", "''")}'`;
}

/** As PostgreSQL prints a name in its own messages: quoted only where it would have to be. */
export function displayName(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : quoteIdentifier(name);
}

/** `schema.name` for messages. */
export function displayQualified(schema: string, name: string): string {
  return `${displayName(schema)}.${displayName(name)}`;
}
