/** nextval, currval, lastval, pg_get_serial_sequence: for sequences owned by a column that the identity may insert. */
import { markSensitive, stringLiteral } from './walk.ts';
import { qualifiedKey, type CatalogRelation } from './catalog.ts';
import type { Tree } from './parser.ts';
import { refuse } from './refusal.ts';
import type { Context } from './statement-context.ts';
import { asNode, locationOf, nameList, treeField } from './tree-access.ts';

/** Dotted name as the server's name input reads it: unquoted parts in lower case. */
export function parseDottedName(text: string): readonly string[] | undefined {
  const parts: string[] = [];
  let rest = text.trim();
  for (;;) {
    const match = /^(?:"((?:[^"]|"")+)"|([^\s".]+))(\.|$)/.exec(rest);
    if (match === null) return undefined;
    const quoted = match[1];
    parts.push(quoted === undefined ? (match[2] ?? '').toLowerCase() : quoted.replaceAll('""', '"'));
    if (match[3] === '') return parts;
    rest = rest.slice(match[0].length);
  }
}

function insertableSequence(relation: CatalogRelation, context: Context): boolean {
  const { catalog, access } = context.input;
  for (const view of access.views.values()) {
    if (!view.actions.has('Insert')) continue;
    const table = catalog.relationByOid.get(view.relationOid);
    const owner = table?.columns.find((column) => column.ownedSequenceOid === relation.oid);
    if (owner !== undefined && view.columns.some((column) => column.name === owner.name)) return true;
  }
  return false;
}

function findNamed(text: string, context: Context): CatalogRelation | undefined {
  const parts = parseDottedName(text);
  if (parts === undefined || parts.length > 2) return undefined;
  const name = parts.at(-1) ?? '';
  const schemas = parts.length === 2 ? [parts[0] ?? ''] : context.input.session.searchPath;
  return schemas
    .map((schema) => context.input.catalog.relationByName.get(qualifiedKey(schema, name)))
    .find((relation) => relation !== undefined);
}

export function sequenceCall(content: Tree, args: readonly Tree[], context: Context): void {
  const name = nameList(content, 'funcname').at(-1) ?? '';
  const location = locationOf(content);
  if (name === 'lastval') return;
  const cast = asNode(args[0], 'TypeCast');
  const literal = cast === undefined ? args[0] : treeField(cast, 'arg');
  const text = stringLiteral(literal);
  if (text === undefined)
    return refuse('function_not_allowed', { subject: `${name}`, advice: 'write the name as a literal', location });
  markSensitive(context, literal);
  if (name === 'pg_get_serial_sequence')
    return serialSequence(text, stringLiteral(args[1]), args[1], location, context);
  const relation = findNamed(text, context);
  if (relation?.kind !== 'S' || !insertableSequence(relation, context)) {
    refuse('relation_not_granted', {
      // As written: a hidden sequence and a missing one must read the same.
      subject: text,
      action: 'USAGE',
      location,
    });
  }
}

function serialSequence(
  table: string,
  column: string | undefined,
  columnNode: Tree | undefined,
  location: number,
  context: Context,
): void {
  markSensitive(context, columnNode);
  const relation = findNamed(table, context);
  const view = relation === undefined ? undefined : context.input.access.views.get(relation.oid);
  if (view === undefined) refuse('relation_not_granted', { subject: table, action: 'SELECT', location });
  if (column === undefined || !view.columns.some((one) => one.name === column)) {
    refuse('undefined_object', {
      subject: `column "${column ?? ''}" of relation "${table}" does not exist`,
      sqlstate: '42703',
      location,
    });
  }
}
