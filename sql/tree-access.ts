/** Typed reads of libpg-query's untyped JSON trees. Absent fields are absent keys; strings hold names. */
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An embedded or wrapped node in a field. */
export function treeField(node: Tree, key: string): Tree | undefined {
  const value = node[key];
  return isTree(value) ? value : undefined;
}

/** A list field; absent means empty. Elements are wrapped nodes (an empty object is a NULL element). */
export function listField(node: Tree, key: string): readonly Tree[] {
  const value = node[key];
  if (!Array.isArray(value)) return [];
  for (let i = 0; i < value.length; i++) if (!isTree(value[i])) return value.filter(isTree);
  return value as readonly Tree[];
}

export function stringField(node: Tree, key: string): string | undefined {
  const value = node[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function numberField(node: Tree, key: string): number | undefined {
  const value = node[key];
  return typeof value === 'number' ? value : undefined;
}

export function booleanField(node: Tree, key: string): boolean {
  return node[key] === true;
}

/** Tag and content of a wrapped node: `{ ColumnRef: {...} }`. */
export function unwrap(node: Tree): readonly [tag: string, content: Tree] {
  for (const tag in node) {
    const content = node[tag];
    if (isTree(content)) return [tag, content];
  }
  return refuse('not_supported', { subject: 'an empty node' });
}

/** Content of a wrapped node if it has this tag. */
export function asNode(node: Tree | undefined, tag: string): Tree | undefined {
  return node === undefined ? undefined : treeField(node, tag);
}

/** The strings of a name list such as FuncCall.funcname or ColumnRef.fields without its star. */
export function nameList(node: Tree, key: string): readonly string[] {
  const names: string[] = [];
  for (const element of listField(node, key)) {
    const text = asNode(element, 'String');
    if (text !== undefined) names.push(stringField(text, 'sval') ?? '');
  }
  return names;
}

/**
 * Takes a field out. It is not deleted: V8 makes a dictionary of an object that loses a field, and then prints the whole tree slowly
 * (measured: 178 instead of 50 µs for 1 kB of SQL). Printing and comparing leave out what is undefined.
 */
export function remove(node: Tree, key: string): void {
  if (key in node) node[key] = undefined;
}

/** A copy with a field put first, where the grammar prints it: trees that print alike need no comparison (splice.ts). */
export function withFirst(node: Tree, key: string, value: unknown): Tree {
  return { [key]: value, ...node, [key]: value };
}

export function locationOf(node: Tree): number {
  return numberField(node, 'location') ?? 0;
}
